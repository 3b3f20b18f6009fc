//! What kind of machine this is: some are too slow for what others do.

use std::fs;
use std::time::Duration;

/// Whether the processor is emulated by QEMU, which is about 15 times slower and as much coarser in time.
pub fn emulated() -> bool {
    fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| is_emulated(&text))
}

fn is_emulated(cpuinfo: &str) -> bool {
    cpuinfo.contains("QEMU TCG CPU")
}

/// The first of two limits, or on an emulated processor the second.
pub fn limit(usual: Duration, emulated: Duration) -> Duration {
    match self::emulated() {
        true => emulated,
        false => usual,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_an_emulated_processor() {
        assert!(is_emulated("model\t\t: 6\nmodel name\t: QEMU TCG CPU version 2.5+\n"));
        assert!(!is_emulated("model name\t: UML\n") && !is_emulated("model name\t: QEMU Virtual CPU\n"));
    }
}
