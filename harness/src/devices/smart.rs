//! What an NVMe drive says of its health and of its use (NVM Express Base Specification 2.0: "SMART /
//! Health Information (Log Identifier 02h)"; NVM Command Set Specification: "Identify Namespace data
//! structure"). Pure.

use serde::{Deserialize, Serialize};

/// Length of the SMART / Health Information log page in bytes.
pub const SMART_LENGTH: usize = 512;

/// Length of the Identify Namespace data structure in bytes.
pub const IDENTIFY_LENGTH: usize = 4096;

/// 0 degrees Celsius in kelvins, as drives round it.
const ZERO_CELSIUS: i32 = 273;

/// A unit of data in the log: 1000 blocks of 512 bytes.
const DATA_UNIT: u128 = 512_000;

/// What of the SMART / Health Information log matters to a measurement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Smart {
    /// Critical Warning, a bit for each; [`Smart::warnings`] names them.
    pub critical_warning: u8,
    /// Composite Temperature in degrees Celsius.
    pub temperature_c: i32,
    /// Available Spare in percent of what the drive had when it was new.
    pub available_spare_percent: u8,
    /// Below so much spare the drive warns, in percent.
    pub spare_threshold_percent: u8,
    /// Percentage Used of the drive's endurance; may exceed 100.
    pub percentage_used: u8,
    /// Bytes that hosts wrote to it, in its life, rounded up to 512,000.
    pub bytes_written: u64,
    /// Bytes that hosts read from it, likewise.
    pub bytes_read: u64,
    /// Media and Data Integrity Errors in its life.
    pub media_errors: u64,
    /// Minutes above its warning temperature, in its life.
    pub warning_temperature_minutes: u32,
    /// How often it went to a slower power state for its temperature, lightly and heavily (Thermal
    /// Management Temperature 1 and 2 Transition Count); 0 too where it does not count.
    pub thermal_transitions: u64,
}

impl Smart {
    /// Reads the log page; nothing where it is shorter than it must be.
    #[must_use]
    pub fn parse(log: &[u8]) -> Option<Smart> {
        let log: &[u8; SMART_LENGTH] = log.get(..SMART_LENGTH)?.try_into().ok()?;
        let kelvins = i32::from(u16::from_le_bytes([log[1], log[2]]));
        let units = |at| clamp(wide(log, at).saturating_mul(DATA_UNIT));
        let transitions = [216, 220].map(|at| u64::from(word(log, at)));
        Some(Smart {
            critical_warning: log[0],
            temperature_c: kelvins - ZERO_CELSIUS,
            available_spare_percent: log[3],
            spare_threshold_percent: log[4],
            percentage_used: log[5],
            bytes_read: units(32),
            bytes_written: units(48),
            media_errors: clamp(wide(log, 160)),
            warning_temperature_minutes: word(log, 192),
            thermal_transitions: transitions.iter().sum(),
        })
    }

    /// What the drive warns of.
    #[must_use]
    pub fn warnings(&self) -> Vec<&'static str> {
        const BITS: [&str; 6] = [
            "its spare is below the threshold",
            "its temperature is out of range",
            "its reliability is degraded",
            "its media are read-only",
            "the backup of its volatile memory has failed",
            "its persistent memory region is unreliable",
        ];
        let set = |bit: usize| self.critical_warning >> bit & 1 == 1;
        let named = BITS.iter().enumerate();
        named
            .filter(|(bit, _)| set(*bit))
            .map(|(_, word)| *word)
            .collect()
    }
}

/// A namespace's size and use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceUse {
    /// Bytes of its address range (NSZE).
    pub size: u64,
    /// Bytes that are mapped to the media (NUSE); drives that do not count them say all.
    pub used: u64,
}

impl NamespaceUse {
    /// Reads Identify Namespace; nothing where it is too short or means nothing.
    #[must_use]
    pub fn parse(identify: &[u8]) -> Option<NamespaceUse> {
        let identify: &[u8; IDENTIFY_LENGTH] = identify.get(..IDENTIFY_LENGTH)?.try_into().ok()?;
        let number = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&identify[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        // FLBAS: the LBA format in use; its third byte is the block's size, as a power of 2.
        let flbas = identify[26];
        let format = usize::from(flbas & 0xf | (flbas >> 5 & 3) << 4);
        let block = 1_u64.checked_shl(identify[128 + 4 * format + 2].into())?;
        (block >= 512).then_some(())?;
        Some(NamespaceUse {
            size: number(0).checked_mul(block)?,
            used: number(16).checked_mul(block)?,
        })
    }
}

fn word(log: &[u8; SMART_LENGTH], at: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&log[at..at + 4]);
    u32::from_le_bytes(bytes)
}

fn wide(log: &[u8; SMART_LENGTH], at: usize) -> u128 {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&log[at..at + 16]);
    u128::from_le_bytes(bytes)
}

/// No drive that exists has lived so long.
fn clamp(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_health_log_is_read_by_the_specifications_offsets() {
        let mut log = vec![0; SMART_LENGTH];
        log[0] = 0b0000_0101;
        log[1..3].copy_from_slice(&318_u16.to_le_bytes());
        (log[3], log[4], log[5]) = (97, 10, 3);
        log[32..48].copy_from_slice(&7_u128.to_le_bytes());
        log[48..64].copy_from_slice(&2_000_000_u128.to_le_bytes());
        log[160..176].copy_from_slice(&2_u128.to_le_bytes());
        log[192..196].copy_from_slice(&11_u32.to_le_bytes());
        log[216..220].copy_from_slice(&4_u32.to_le_bytes());
        log[220..224].copy_from_slice(&1_u32.to_le_bytes());
        let smart = Smart::parse(&log).unwrap();
        let expected = Smart {
            critical_warning: 5,
            temperature_c: 45,
            available_spare_percent: 97,
            spare_threshold_percent: 10,
            percentage_used: 3,
            bytes_written: 1_024_000_000_000,
            bytes_read: 3_584_000,
            media_errors: 2,
            warning_temperature_minutes: 11,
            thermal_transitions: 5,
        };
        assert_eq!(smart, expected);
        assert_eq!(
            smart.warnings(),
            [
                "its spare is below the threshold",
                "its reliability is degraded"
            ]
        );
        log[48..64].fill(0xff);
        assert_eq!(Smart::parse(&log).unwrap().bytes_written, u64::MAX);
        assert_eq!(Smart::parse(&log[..511]), None);
    }

    #[test]
    fn a_namespaces_use_is_in_bytes_of_its_own_blocks() {
        let mut identify = vec![0; IDENTIFY_LENGTH];
        identify[..8].copy_from_slice(&1000_u64.to_le_bytes());
        identify[16..24].copy_from_slice(&250_u64.to_le_bytes());
        // The second LBA format, of 4096 bytes.
        identify[26] = 1;
        (identify[130], identify[134]) = (9, 12);
        let found = NamespaceUse::parse(&identify).unwrap();
        assert_eq!((found.size, found.used), (4_096_000, 1_024_000));
        identify[26] = 0;
        assert_eq!(NamespaceUse::parse(&identify).unwrap().size, 512_000);
        identify[130] = 0;
        assert_eq!(NamespaceUse::parse(&identify), None, "no block is so small");
        identify[130] = 9;
        identify[..8].fill(0xff);
        assert_eq!(NamespaceUse::parse(&identify), None);
    }
}
