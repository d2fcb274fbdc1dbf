//! Keys and outcomes as bytes, with a version in front.

use kiln_space::Genotype;

use super::Key;
use crate::seed::fidelity_bytes;
use crate::{Fidelity, Outcome};

/// Version of the records written here.
pub(super) const VERSION: u8 = 1;

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// Written by a newer program.
    Newer(u8),
    /// Not what was written.
    Damaged,
}

/// `version, fidelity, genes, 4-byte length, genes, fingerprint`.
pub(super) fn key_bytes(key: &Key) -> Vec<u8> {
    let genes = key.genotype.genes();
    let mut bytes = vec![VERSION];
    bytes.extend(fidelity_bytes(key.fidelity));
    bytes.extend((genes.len() as u32).to_be_bytes());
    bytes.extend(genes);
    bytes.extend(key.fingerprint.as_bytes());
    bytes
}

pub(super) fn read_key(bytes: &[u8]) -> Result<Key, Unreadable> {
    let rest = versioned(bytes)?;
    let (fidelity, rest) = rest.split_first_chunk::<5>().ok_or(Unreadable::Damaged)?;
    let (length, rest) = rest.split_first_chunk::<4>().ok_or(Unreadable::Damaged)?;
    let length = u32::from_be_bytes(*length) as usize;
    let (genes, fingerprint) = rest.split_at_checked(length).ok_or(Unreadable::Damaged)?;
    let [kind, a, b, c, d] = *fidelity;
    let fidelity = match kind {
        0 => Fidelity::Proxy,
        1 => Fidelity::Epochs(u32::from_le_bytes([a, b, c, d])),
        2 => Fidelity::Full,
        _ => return Err(Unreadable::Damaged),
    };
    let fingerprint = std::str::from_utf8(fingerprint).map_err(|_| Unreadable::Damaged)?.to_owned();
    Ok(Key { fingerprint, genotype: Genotype::new(genes), fidelity })
}

/// `version`, then JSON.
pub(super) fn outcome_bytes(outcome: &Outcome) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    serde_json::to_writer(&mut bytes, outcome).expect("an outcome is plain data");
    bytes
}

pub(super) fn read_outcome(bytes: &[u8]) -> Result<Outcome, Unreadable> {
    serde_json::from_slice(versioned(bytes)?).map_err(|_| Unreadable::Damaged)
}

fn versioned(bytes: &[u8]) -> Result<&[u8], Unreadable> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => Ok(rest),
        Some((&version, _)) if version > VERSION => Err(Unreadable::Newer(version)),
        _ => Err(Unreadable::Damaged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_the_way_through_bytes_and_refuse_what_they_do_not_know() {
        for fidelity in [Fidelity::Proxy, Fidelity::Epochs(70_000), Fidelity::Full] {
            for genes in [&[][..], &[0, 255, 7]] {
                let fingerprint = "data/é".to_owned();
                let key = Key { fingerprint, genotype: Genotype::new(genes), fidelity };
                let mut bytes = key_bytes(&key);
                assert_eq!(read_key(&bytes), Ok(key));
                assert_eq!(read_key(&bytes[..8]), Err(Unreadable::Damaged));
                bytes[0] = VERSION + 1;
                assert_eq!(read_key(&bytes), Err(Unreadable::Newer(VERSION + 1)));
            }
        }
        let outcome = Outcome::Measured(crate::Measurement::new([("a".to_owned(), 0.1)].into()).unwrap());
        let mut bytes = outcome_bytes(&outcome);
        assert_eq!(read_outcome(&bytes), Ok(outcome));
        bytes.pop();
        assert_eq!(read_outcome(&bytes), Err(Unreadable::Damaged));
        assert_eq!(read_outcome(&[]), Err(Unreadable::Damaged));
        assert_eq!(read_outcome(&[9]), Err(Unreadable::Newer(9)));
    }
}
