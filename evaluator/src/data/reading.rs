//! What a data set is opened from, and by which rules its files are read.

use std::path::Path;

use kiln_space::Settings;

/// How files become values, classes and splits.
///
/// A network is measured on the data that it was made for, so its card records the rules. They change only when
/// the same files and settings would give other values, other classes or other splits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReadingRules {
    /// Images as they are stored: no orientation, no transparency, 8 bits, grey by ITU-R BT.709, resized in
    /// 8 bits, cut JPEG files filled up with grey. `limit` takes one example of a class more than its share
    /// where the share is no whole number. Class names that are numbers with a fraction are sorted as text.
    First,
    /// Images as a viewer shows them. `limit` takes exactly the number it says. Numeric class names are sorted
    /// by their values.
    Second,
}

impl ReadingRules {
    /// The rules by which new studies read their data.
    pub const CURRENT: Self = Self::Second;

    /// The number under which files record the rules.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::First => 1,
            Self::Second => 2,
        }
    }

    /// The rules of a number; `None` for those of a newer program.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::First),
            2 => Some(Self::Second),
            _ => None,
        }
    }
}

/// Which names of a column of a table are inputs of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NamesFrom {
    /// Those of the training split; all others share one input.
    #[default]
    Training,
    /// Those of all examples: for data that a trained network is measured on, which knows names of its own.
    AllExamples,
}

/// Hears how far reading is: files read, and files in all.
pub type ReadingProgress<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// What a data set is opened from.
#[derive(Clone, Copy)]
pub struct Opening<'a> {
    /// The table `[data]` without its key `kind`.
    pub settings: &'a Settings,
    /// Folder that was given for the files, if one was.
    pub folder: Option<&'a Path>,
    /// How files are read.
    pub rules: ReadingRules,
    /// Which names of a column are inputs.
    pub names: NamesFrom,
    /// Hears how far reading is; readers of a single file need not report.
    pub progress: ReadingProgress<'a>,
}

impl<'a> Opening<'a> {
    /// Opens by the current rules, and reports to nobody.
    #[must_use]
    pub fn new(settings: &'a Settings, folder: Option<&'a Path>) -> Self {
        Self {
            settings,
            folder,
            rules: ReadingRules::CURRENT,
            names: NamesFrom::Training,
            progress: &|_, _| (),
        }
    }
}
