//! What the processor is called and which arithmetic it has in hardware.

use std::fs;

use super::Precision;

/// The processor of this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Processor {
    /// As the maker calls it; the architecture where the system does not say.
    pub name: String,
    /// Whether Intel made it; `None` where the system does not say.
    pub is_intel: Option<bool>,
    /// Its instructions that matter to a network, by Linux's names. Virtual machines of one name may differ in them.
    pub features: Vec<String>,
}

/// The standard library cannot test for AMX, so Linux is asked, which lists it where programs may use it. Processors
/// with AMX have AVX-512 too.
const AMX: [&str; 3] = ["amx_bf16", "amx_int8", "amx_fp16"];

/// For each 16-bit arithmetic, the features of which any one means that there are instructions for it.
const NATIVE: [(Precision, [&str; 2]); 2] =
    [(Precision::Bf16, ["avx512_bf16", "amx_bf16"]), (Precision::Fp16, ["avx512_fp16", "amx_fp16"])];

impl Processor {
    /// Asks the processor itself, as engines do, and the system for its name.
    pub fn of_this_machine() -> Self {
        let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let mut features: Vec<_> = detected().into_iter().map(str::to_owned).collect();
        if features.iter().any(|feature| feature == "avx512f") {
            let listed = value(&text, "flags").unwrap_or_default();
            features
                .extend(AMX.iter().filter(|amx| listed.split(' ').any(|flag| flag == **amx)).map(|&amx| amx.into()));
        }
        Self {
            name: value(&text, "model name").unwrap_or(std::env::consts::ARCH).to_owned(),
            is_intel: value(&text, "vendor_id").map(|vendor| vendor == "GenuineIntel"),
            features,
        }
    }

    /// Whether it has instructions for a 16-bit arithmetic. What it lacks is emulated, and slower than fp32.
    pub fn is_native(&self, precision: Precision) -> bool {
        let names = NATIVE.iter().filter(|(native, _)| *native == precision).flat_map(|(_, names)| names);
        names.into_iter().any(|name| self.features.iter().any(|feature| feature == name))
    }
}

/// The value of the first line of `/proc/cpuinfo` with this key.
fn value<'a>(text: &'a str, wanted: &str) -> Option<&'a str> {
    let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.find(|(key, _)| key.trim() == wanted).map(|(_, value)| value.trim())
}

fn detected() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::is_x86_feature_detected;
        let known = [
            ("avx2", is_x86_feature_detected!("avx2")),
            ("avx_vnni", is_x86_feature_detected!("avxvnni")),
            ("avx512f", is_x86_feature_detected!("avx512f")),
            ("avx512_vnni", is_x86_feature_detected!("avx512vnni")),
            ("avx512_bf16", is_x86_feature_detected!("avx512bf16")),
            ("avx512_fp16", is_x86_feature_detected!("avx512fp16")),
        ];
        known.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect()
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        Vec::new()
    }
}

/// Whether `u8` times `i8` is summed in pairs of 16 bits on this processor, where what does not fit is cut off. That is so
/// on x86-64 without the VNNI instructions (Zen 3 and older, Intel before Cascade Lake), unless weights have 7 bits.
///
/// Asks the processor itself, as engines do.
pub fn pairs_may_overflow() -> bool {
    let features = detected();
    cfg!(target_arch = "x86_64") && !features.contains(&"avx512_vnni") && !features.contains(&"avx_vnni")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_counts_as_native_only_where_the_processor_has_instructions_for_it() {
        let native = |features: &[&str]| {
            let features = features.iter().map(ToString::to_string).collect();
            let processor = Processor { features, ..Processor::default() };
            [Precision::Bf16, Precision::Fp16].map(|precision| processor.is_native(precision))
        };
        assert_eq!(native(&["avx2"]), [false, false]);
        // avx512f alone would emulate bf16.
        assert_eq!(native(&["avx512f", "avx512_vnni"]), [false, false]);
        assert_eq!(native(&["avx512_bf16"]), [true, false]);
        assert_eq!(native(&["amx_bf16", "avx512_fp16"]), [true, true]);
    }

    #[test]
    fn the_name_is_that_of_the_first_processor_and_what_is_not_said_is_not_made_up() {
        let text = "processor\t: 0\nmodel name\t: X 9\nflags\t\t: fpu sse\n\nmodel name\t: Y\n";
        assert_eq!((value(text, "model name"), value(text, "flags")), (Some("X 9"), Some("fpu sse")));
        assert_eq!(value("", "model name"), None);
    }
}
