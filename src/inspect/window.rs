//! The geometry of a convolution or a pool: kernel, stride, dilation and padding, whichever way the file says it.

use std::fmt;

use crate::onnx::NodeProto;

/// A window that moves over an image; height first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) kernel: [usize; 2],
    pub(super) stride: [usize; 2],
    pub(super) dilation: [usize; 2],
    /// Top, left, bottom, right.
    pub(super) pads: [i64; 4],
    /// Whether a last window that lies partly outside counts.
    pub(super) ceil_mode: bool,
}

/// Windows in words, with commas between.
pub(super) fn described<'w>(windows: impl Iterator<Item = &'w Window>) -> String {
    windows.map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Window {
    /// Reads a node's attributes; `None` for what is not two-dimensional.
    ///
    /// * `weight`: the shape of a convolution's weight, `[K, C / groups, height, width]`
    /// * `input`: `[N, C, H, W]`, needed where the file says `SAME` in place of numbers
    pub(super) fn of(node: &NodeProto, weight: Option<&[usize]>, input: Option<&[usize]>) -> Option<Self> {
        let pair = |name: &str| match node.ints(name) {
            None => Some([1, 1]),
            Some(&[height, width]) => Some([positive(height)?, positive(width)?]),
            Some(_) => None,
        };
        let kernel = match (weight, node.attr("kernel_shape")) {
            (Some(&[_, _, height, width]), _) => [height, width],
            (None, Some(_)) => pair("kernel_shape")?,
            _ => return None,
        };
        let pads = match node.ints("pads") {
            None | Some([]) => [0; 4],
            Some(pads) => pads.try_into().ok()?,
        };
        let ceil_mode = node.int("ceil_mode") == Some(1);
        let mut window = Self { kernel, stride: pair("strides")?, dilation: pair("dilations")?, pads, ceil_mode };
        match node.string("auto_pad") {
            Some("SAME_UPPER") => window.pads = window.same(input, false)?,
            Some("SAME_LOWER") => window.pads = window.same(input, true)?,
            Some("VALID") => window.pads = [0; 4],
            _ => {}
        }
        Some(window)
    }

    /// Its padding, in words.
    pub(super) fn sides(&self) -> String {
        let [top, left, bottom, right] = self.pads;
        format!("top {top}, left {left}, bottom {bottom}, right {right}")
    }

    /// Height and width of what comes out; `None` if nothing does.
    pub(super) fn output(&self, size: [usize; 2]) -> Option<[usize; 2]> {
        let along = |axis: usize| {
            let (before, after) = (i128::from(self.pads[axis]), i128::from(self.pads[axis + 2]));
            let (size, stride) = (size[axis] as i128, self.stride[axis] as i128);
            let room = size + before + after - self.reach(axis);
            if room < 0 {
                return None;
            }
            let mut count = if self.ceil_mode { (room + stride - 1) / stride } else { room / stride } + 1;
            if self.ceil_mode && (count - 1) * stride >= size + before {
                count -= 1; // the last window has to begin inside
            }
            usize::try_from(count).ok()
        };
        Some([along(0)?, along(1)?])
    }

    /// A square window's kernel and stride.
    pub(super) fn square(&self) -> Option<(usize, usize)> {
        let same = self.kernel[0] == self.kernel[1] && self.stride[0] == self.stride[1];
        same.then_some((self.kernel[0], self.stride[0]))
    }

    /// Whether there is as much padding before the image as behind it.
    pub(super) fn is_symmetric(&self) -> bool {
        self.pads[0] == self.pads[2] && self.pads[1] == self.pads[3]
    }

    /// The extent of the window in pixels, dilation included.
    fn reach(&self, axis: usize) -> i128 {
        self.dilation[axis] as i128 * (self.kernel[axis] as i128 - 1) + 1
    }

    fn same(&self, input: Option<&[usize]>, lower: bool) -> Option<[i64; 4]> {
        let &[_, _, height, width] = input? else { return None };
        let mut pads = [0; 4];
        for (axis, size) in [height, width].into_iter().enumerate() {
            let (size, stride) = (size as i128, self.stride[axis] as i128);
            let windows = (size + stride - 1) / stride;
            let total = i64::try_from(((windows - 1) * stride + self.reach(axis) - size).max(0)).ok()?;
            let (less, more) = (total / 2, total - total / 2);
            (pads[axis], pads[axis + 2]) = if lower { (more, less) } else { (less, more) };
        }
        Some(pads)
    }
}

/// `7x7/2`.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}/{}", self.kernel[0], self.kernel[1], self.stride[0])?;
        if self.stride[0] != self.stride[1] {
            write!(f, "x{}", self.stride[1])?;
        }
        Ok(())
    }
}

fn positive(number: i64) -> Option<usize> {
    usize::try_from(number).ok().filter(|&number| number > 0)
}
