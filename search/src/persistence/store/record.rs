//! Encodes keys and outcomes as bytes. The first byte is a version.

use kiln_space::Genotype;

use super::contract::Key;
use crate::trials::{Fidelity, Outcome};

/// Version of the keys. A new version would change every key.
const KEY_VERSION: u8 = 1;
/// Version of the outcomes.
const OUTCOME_VERSION: u8 = 2;
/// The previous version of the outcomes, which has no check.
const UNCHECKED_VERSION: u8 = 1;
/// Number of bytes in a check.
const CHECK: usize = 16;

/// The reason why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// A newer build wrote the bytes. The value is the version.
    Newer(u8),
    /// The bytes were changed after they were written.
    Damaged,
}

/// Encodes a key as `version, fidelity, genes, 4-byte length, genes, fingerprint`.
pub(super) fn key_bytes(key: &Key) -> Vec<u8> {
    let genes = key.genotype.genes();
    let mut bytes = vec![KEY_VERSION];
    bytes.extend(key.fidelity.bytes());
    bytes.extend((genes.len() as u32).to_be_bytes());
    bytes.extend(genes);
    bytes.extend(key.fingerprint.as_bytes());
    bytes
}

pub(super) fn read_key(bytes: &[u8]) -> Result<Key, Unreadable> {
    let (version, rest) = bytes.split_first().ok_or(Unreadable::Damaged)?;
    check_version(*version, KEY_VERSION)?;
    let (fidelity, rest) = rest.split_first_chunk::<5>().ok_or(Unreadable::Damaged)?;
    let (length, rest) = rest.split_first_chunk::<4>().ok_or(Unreadable::Damaged)?;
    let length = u32::from_be_bytes(*length) as usize;
    let (genes, fingerprint) = rest.split_at_checked(length).ok_or(Unreadable::Damaged)?;
    let fidelity = Fidelity::from_bytes(*fidelity).ok_or(Unreadable::Damaged)?;
    let fingerprint = std::str::from_utf8(fingerprint).map_err(|_| Unreadable::Damaged)?.to_owned();
    Ok(Key { fingerprint, genotype: Genotype::new(genes), fidelity })
}

/// Encodes an outcome as `version, 16 bytes of the BLAKE3 hash of the key and the JSON, JSON`.
pub(super) fn outcome_bytes(key: &[u8], outcome: &Outcome) -> Vec<u8> {
    let json = serde_json::to_vec(outcome).expect("an outcome is plain data");
    let mut bytes = vec![OUTCOME_VERSION];
    bytes.extend(check(key, &json));
    bytes.extend(json);
    bytes
}

pub(super) fn read_outcome(key: &[u8], bytes: &[u8]) -> Result<Outcome, Unreadable> {
    let (&version, rest) = bytes.split_first().ok_or(Unreadable::Damaged)?;
    let json = if version == UNCHECKED_VERSION {
        rest
    } else {
        check_version(version, OUTCOME_VERSION)?;
        let (found, json) = rest.split_first_chunk::<CHECK>().ok_or(Unreadable::Damaged)?;
        if *found != check(key, json) {
            return Err(Unreadable::Damaged);
        }
        json
    };
    serde_json::from_slice(json).map_err(|_| Unreadable::Damaged)
}

fn check(key: &[u8], json: &[u8]) -> [u8; CHECK] {
    let hash = blake3::Hasher::new().update(key).update(json).finalize();
    *hash.as_bytes().first_chunk().expect("a hash has 32 bytes")
}

const fn check_version(found: u8, known: u8) -> Result<(), Unreadable> {
    if found == known {
        Ok(())
    } else if found > known {
        Err(Unreadable::Newer(found))
    } else {
        Err(Unreadable::Damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_bytes_and_refuse_damage_and_newer_versions() {
        for fidelity in [Fidelity::Proxy, Fidelity::Epochs(70_000), Fidelity::Full] {
            for genes in [&[][..], &[0, 255, 7]] {
                let fingerprint = "data/é".to_owned();
                let key = Key { fingerprint, genotype: Genotype::new(genes), fidelity };
                let mut bytes = key_bytes(&key);
                assert_eq!(read_key(&bytes), Ok(key));
                assert_eq!(read_key(&bytes[..8]), Err(Unreadable::Damaged));
                bytes[0] = KEY_VERSION + 1;
                assert_eq!(read_key(&bytes), Err(Unreadable::Newer(KEY_VERSION + 1)));
            }
        }
        let outcome =
            Outcome::Measured(crate::trials::Measurement::new([("a".to_owned(), 0.1)].into()).unwrap());
        let mut bytes = outcome_bytes(b"key", &outcome);
        assert_eq!(read_outcome(b"key", &bytes), Ok(outcome.clone()));
        let old = [&[UNCHECKED_VERSION][..], &bytes[1 + CHECK..]].concat();
        assert_eq!(read_outcome(b"key", &old), Ok(outcome));
        assert_eq!(read_outcome(b"another", &bytes), Err(Unreadable::Damaged));
        bytes.pop();
        assert_eq!(read_outcome(b"key", &bytes), Err(Unreadable::Damaged));
        assert_eq!(read_outcome(b"key", &[]), Err(Unreadable::Damaged));
        assert_eq!(read_outcome(b"key", &[9]), Err(Unreadable::Newer(9)));
    }

    #[test]
    fn outcome_with_a_flipped_bit_is_damaged() {
        let outcome =
            Outcome::Measured(crate::trials::Measurement::new([("a".to_owned(), 0.125)].into()).unwrap());
        let whole = outcome_bytes(b"key", &outcome);
        for bit in 8..8 * whole.len() {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read_outcome(b"key", &bytes), Err(Unreadable::Damaged), "bit {bit}");
        }
        for bit in 0..8 {
            let mut bytes = whole.clone();
            bytes[0] ^= 1 << bit;
            // If the record is read as the previous version, the bytes of the check are parsed as JSON, which
            // fails.
            assert!(read_outcome(b"key", &bytes).is_err(), "bit {bit} of the version");
        }
    }
}
