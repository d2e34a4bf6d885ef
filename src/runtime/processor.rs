//! What the processor is called and which arithmetic it has in hardware.

use std::fs;

use super::Precision;

/// The processor of this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Processor {
    /// As the maker calls it; the architecture where the system does not say.
    pub name: String,
    /// The 16-bit arithmetics that it has instructions for. What it lacks is emulated, and slower than fp32.
    pub native: Vec<Precision>,
}

/// The flags of Linux that mean instructions for an arithmetic.
const FLAGS: [(Precision, [&str; 2]); 2] =
    [(Precision::Bf16, ["avx512_bf16", "amx_bf16"]), (Precision::Fp16, ["avx512_fp16", "amx_fp16"])];

impl Processor {
    /// Asks the system.
    pub fn of_this_machine() -> Self {
        Self::parse(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default())
    }

    /// Reads the first processor of the text of `/proc/cpuinfo`.
    fn parse(text: &str) -> Self {
        let value = |wanted: &str| {
            let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
            pairs.find(|(key, _)| key.trim() == wanted).map(|(_, value)| value.trim())
        };
        let flags: Vec<_> = value("flags").unwrap_or_default().split_whitespace().collect();
        let native = FLAGS.iter().filter(|(_, names)| names.iter().any(|name| flags.contains(name)));
        Self {
            name: value("model name").unwrap_or(std::env::consts::ARCH).to_owned(),
            native: native.map(|(precision, _)| *precision).collect(),
        }
    }
}

/// Whether `u8` times `i8` is summed in pairs of 16 bits on this processor, where what does not fit is cut off. That is so
/// on x86-64 without the VNNI instructions (Zen 3 and older, Intel before Cascade Lake), unless weights have 7 bits.
///
/// Asks the processor itself, as engines do.
pub fn pairs_may_overflow() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        !(std::arch::is_x86_feature_detected!("avx512vnni") || std::arch::is_x86_feature_detected!("avxvnni"))
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_counts_as_native_only_where_the_processor_has_instructions_for_it() {
        let native = |flags: &str| Processor::parse(&format!("model name\t: X\nflags\t\t: fpu {flags} sse\n")).native;
        assert_eq!(native("avx2 fma f16c"), []);
        // f16c only converts; avx512f alone would emulate bf16.
        assert_eq!(native("avx512f avx512_vnni"), []);
        assert_eq!(native("avx512_bf16"), [Precision::Bf16]);
        assert_eq!(native("amx_bf16 amx_tile avx512_fp16"), [Precision::Bf16, Precision::Fp16]);
    }

    #[test]
    fn a_system_that_says_nothing_has_a_name_and_no_extras() {
        let processor = Processor::parse("");
        assert_eq!((processor.name.as_str(), processor.native.len()), (std::env::consts::ARCH, 0));
    }
}
