//! What a JPEG's frame header means for the decoder: how samples lie in blocks, blocks in units, and what colours they
//! are.

use libjpeg_turbo_rs::decode::marker::JpegMetadata;

use crate::preprocess::decode::fault::jpeg as corrupt;
use crate::preprocess::error::DecodeError;

/// Coefficients across and down in a block.
const BLOCK: usize = 8;

/// What the samples of a pixel are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ColorModel {
    Gray,
    Rgb,
    /// Multiplied by a fourth, in a TIFF.
    Premultiplied,
    YCbCr,
    /// Amounts of ink, inverted as Adobe does.
    Cmyk,
    /// Amounts of ink as they are, in a TIFF.
    Inks,
    /// As `YCbCr`, of the inverted inks, with black beside it.
    Ycck,
}

/// One kind of sample: brightness, blueness, an ink.
pub(super) struct Component {
    pub(super) id: u8,
    /// Blocks across and down in one unit.
    pub(super) blocks: (usize, usize),
    /// Blocks across and down in the whole picture, with those that only fill up the last units.
    pub(super) stored: (usize, usize),
    /// The same without them.
    pub(super) real: (usize, usize),
    /// Samples across and down in a block as it is decoded: 8, or fewer in a picture that is decoded smaller.
    pub(super) edge: usize,
    /// Samples across and down.
    pub(super) samples: (usize, usize),
    /// Pixels across and down for each sample.
    pub(super) factors: (usize, usize),
    pub(super) quantization: [u16; 64],
}

pub(super) struct Geometry {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Units (MCUs) across and down; each is a square of pixels with all its components.
    pub(super) units: (usize, usize),
    /// Pixels across and down in a unit.
    pub(super) unit: (usize, usize),
    /// Samples across and down in a block of the component that has most of them.
    pub(super) edge: usize,
    pub(super) components: Vec<Component>,
    pub(super) colors: ColorModel,
}

impl Geometry {
    /// Of a picture that is decoded in its own size, or in a half, a quarter or an eighth of it.
    ///
    /// * `by`: 1, 2, 4 or 8
    pub(super) fn new(metadata: &JpegMetadata, by: usize) -> Result<Self, DecodeError> {
        let frame = &metadata.frame;
        let least = BLOCK / by;
        let (width, height) = (usize::from(frame.width), usize::from(frame.height));
        let colors = colors(metadata)?;
        // Where there is one component alone, its sampling means nothing.
        let sampling = |component: &libjpeg_turbo_rs::common::types::ComponentInfo| match colors {
            ColorModel::Gray => (1, 1),
            _ => (usize::from(component.horizontal_sampling), usize::from(component.vertical_sampling)),
        };
        let most = |(across, down): (usize, usize), (a, d): (usize, usize)| (across.max(a), down.max(d));
        let (across, down) = frame.components.iter().map(sampling).fold((1, 1), most);
        let units = (width.div_ceil(across * BLOCK), height.div_ceil(down * BLOCK));
        let component = |info| {
            let (h, v) = sampling(info);
            if h == 0 || v == 0 || across % h != 0 || down % v != 0 {
                return Err(corrupt(format_args!("{h}x{v} samples for {across}x{down} pixels are not read")));
            }
            let table = metadata.quant_tables.get(usize::from(info.quant_table_index)).and_then(Option::as_ref);
            let Some(table) = table else {
                // Lossless frames need none.
                let quantization = [1; 64];
                if !frame.is_lossless {
                    return Err(corrupt(format_args!("quantization table {} is missing", info.quant_table_index)));
                }
                return Ok((info.id, (h, v), quantization));
            };
            Ok((info.id, (h, v), table.values))
        };
        let components = frame.components.iter().map(|info| {
            let (id, (h, v), quantization) = component(info)?;
            // A component with fewer samples is made less small, as far as that spares the upsampling (libjpeg's
            // `jpeg_calc_output_dimensions`).
            let mut edge = least;
            while edge < BLOCK
                && (across * least).is_multiple_of(h * edge * 2)
                && (down * least).is_multiple_of(v * edge * 2)
            {
                edge *= 2;
            }
            Ok(Component {
                id,
                blocks: (h, v),
                stored: (units.0 * h, units.1 * v),
                real: ((width * h).div_ceil(across * BLOCK), (height * v).div_ceil(down * BLOCK)),
                edge,
                samples: ((width * h * edge).div_ceil(across * BLOCK), (height * v * edge).div_ceil(down * BLOCK)),
                factors: (across * least / (h * edge), down * least / (v * edge)),
                quantization,
            })
        });
        let components = components.collect::<Result<_, DecodeError>>()?;
        let unit = (across * least, down * least);
        Ok(Self {
            width: width.div_ceil(by),
            height: height.div_ceil(by),
            units,
            unit,
            edge: least,
            components,
            colors,
        })
    }
}

/// What the colours are, as libjpeg decides it when it reaches the first scan.
fn colors(metadata: &JpegMetadata) -> Result<ColorModel, DecodeError> {
    let ids: Vec<u8> = metadata.frame.components.iter().map(|component| component.id).collect();
    Ok(match (&ids[..], metadata.saw_jfif_marker_at_first_sos, metadata.adobe_transform_at_first_sos) {
        ([_], ..) => ColorModel::Gray,
        ([_, _, _], true, _) => ColorModel::YCbCr,
        ([_, _, _], false, Some(0)) => ColorModel::Rgb,
        (b"RGB", false, None) => ColorModel::Rgb,
        ([_, _, _], ..) => ColorModel::YCbCr,
        ([_, _, _, _], _, None | Some(0)) => ColorModel::Cmyk,
        ([_, _, _, _], ..) => ColorModel::Ycck,
        _ => return Err(corrupt(format_args!("{} components are not read", ids.len()))),
    })
}
