//! Tables of networks whose measurements were read elsewhere.

use kiln_space::SearchSpace;

use super::table::{EvaluationTable, TableRow, sampled};
use crate::fitted::features;
use crate::{HwError, Measured, Roofline, Transfer};

impl EvaluationTable {
    /// Creates the table of networks of a space that were read and pooled before, without known devices.
    /// `target` names their latency. Features that need a device, such as bytes and formats, are those of `roofline`. Line
    /// numbers count the networks from 1.
    ///
    /// # Errors
    /// The errors of [`CostModel::network`](crate::CostModel::network) for a network.
    pub fn of(
        target: &str,
        measured: &[Measured],
        space: &dyn SearchSpace,
        roofline: &Roofline,
    ) -> Result<Self, HwError> {
        let row = |(index, measured): (usize, &Measured)| {
            let features = features::features(&measured.architecture, roofline)?;
            let (line, latency_us) = (index as u64 + 1, measured.latency_us);
            Ok(TableRow { index, line, features, latency_us, known_us: Vec::new() })
        };
        let rows = measured.iter().enumerate().map(row).collect::<Result<_, HwError>>()?;
        Ok(Self {
            target: target.to_owned(),
            known: Vec::new(),
            rows,
            not_measured: 0,
            repeats: 0,
            sampled: sampled(space, roofline)?,
            transfer: Transfer::none(),
        })
    }
}
