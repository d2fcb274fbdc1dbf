//! The search space of NAS-Bench-Macro. Each network is a stack of blocks.

use std::sync::Arc;

use serde::Deserialize;

use crate::{
    ActivationKind, Architecture, ArchitectureBuilder, Choice, Decision, Genotype, LayerId, Op,
    ParameterSpec, Samples, SearchSpace, Settings, SettingsError, Shape, SpaceError, SpacePart, TASK_KEYS,
    Task, variation,
};

/// For each stage, the number of blocks and the channels as a multiple of the first convolution's channels.
/// The first block of a stage halves the feature map.
const STAGES: [(usize, usize); 3] = [(2, 2), (3, 4), (3, 8)];
/// Channels of the first convolution in the published networks.
const CHANNELS: usize = 32;
/// Channels of the last convolution as a multiple of the first convolution's channels.
const LAST: usize = 40;
/// The options of a block, in the order of the digits in the published table.
const OPTIONS: [BlockOption; 3] = [
    BlockOption { name: "identity", expansion: 0, kernel: 0 },
    BlockOption { name: "mb3_k3", expansion: 3, kernel: 3 },
    BlockOption { name: "mb6_k5", expansion: 6, kernel: 5 },
];

/// An option of a block. Expansion 0 means the identity.
#[derive(Clone, Copy)]
struct BlockOption {
    name: &'static str,
    expansion: usize,
    kernel: usize,
}

/// Channels, kernel size, stride and groups of a convolution.
#[derive(Clone, Copy)]
struct Window {
    channels: usize,
    kernel: usize,
    stride: usize,
    groups: usize,
}

impl Window {
    /// Creates a convolution that reads all channels.
    const fn dense(channels: usize, kernel: usize, stride: usize) -> Self {
        Self { channels, kernel, stride, groups: 1 }
    }
}

/// The settings of a NAS-Bench-Macro space.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct MacroSettings {
    input: Option<Shape>,
    outputs: Option<usize>,
    channels: usize,
    merge_equal: bool,
}

impl Default for MacroSettings {
    fn default() -> Self {
        Self { input: None, outputs: None, channels: CHANNELS, merge_equal: true }
    }
}

/// The NAS-Bench-Macro space: eight blocks in three stages. Each block is the identity or an inverted
/// bottleneck (expansion 3 with a 3x3 kernel, or expansion 6 with a 5x5 kernel). If a block must halve the
/// feature map, a 1x1 convolution with stride 2 replaces the identity.
///
/// Source: X. Su et al., "Prioritized Architecture Sampling with Monto-Carlo Tree Search", CVPR 2021, section
/// 4. Parameters and multiply-accumulates of all 6,561 networks equal the table's `params` and `flops`.
///
/// Settings:
/// - `channels` (32): channels of the first convolution. All other widths are multiples of this number.
/// - `merge_equal` (true): whether to merge genotypes that differ only in the position of identity blocks
///   without effect. With `true`, the space has 3,969 distinct networks. With `false`, it has 6,561, as in
///   the published table.
/// - `input` (`[3, 32, 32]`) and `outputs` (10): used only without data.
#[derive(Clone, Debug)]
pub struct NasBenchMacro {
    task: Task,
    channels: usize,
    merge_equal: bool,
    decisions: Vec<Decision>,
}

/// The registry entry of this space.
pub(crate) const PART: SpacePart = SpacePart::new("NAS-Bench-Macro: 8 blocks, 3 choices", build)
    .with_keys(&[TASK_KEYS, KEYS])
    .tested_with(SAMPLES);

/// Descriptions of the settings that only this space has.
const KEYS: &str = r##"
channels = { "$ref" = "#/$defs/count", description = "Channels of the first stage." }

[merge_equal]
type = "boolean"
description = "Whether genotypes of the same network count as one."
default = true
"##;

/// Sample settings with which tests check the laws.
const SAMPLES: Samples = &[r#"{ "channels": 3 }"#, r#"{ "merge_equal": false }"#];

/// Builds the space from its settings.
fn build(settings: &Settings, data: Option<Task>) -> Result<Arc<dyn SearchSpace>, SettingsError> {
    Ok(Arc::new(NasBenchMacro::from_settings(settings, data)?))
}

impl NasBenchMacro {
    /// Builds the space from its settings, for the task of the data. Without data, the default task is
    /// CIFAR-10.
    ///
    /// # Errors
    /// [`SettingsError`] that names the key.
    pub fn from_settings(settings: &Settings, data: Option<Task>) -> Result<Self, SettingsError> {
        let own: MacroSettings = settings.read()?;
        let input = own.input.or(data.is_none().then_some(Shape::new(3, 32, 32)));
        let outputs = own.outputs.or(data.is_none().then_some(10));
        let task = Task::resolve(data, settings, input, outputs)?;
        if !(1..=1024).contains(&own.channels) {
            return Err(SettingsError::value(settings.key("channels"), own.channels, "1 to 1024"));
        }
        let places = STAGES.iter().enumerate().flat_map(|(stage, (blocks, _))| {
            (0..*blocks).map(move |block| format!("stage{stage}.block{block}"))
        });
        let options: Vec<Choice> = OPTIONS.iter().map(|option| Choice::from(option.name)).collect();
        let decisions = places.map(|name| Decision { name, options: options.clone(), active_if: None });
        Ok(Self {
            task,
            channels: own.channels,
            merge_equal: own.merge_equal,
            decisions: decisions.collect(),
        })
    }

    fn network(&self, genes: &[u8]) -> Result<Architecture, SpaceError> {
        let mut net = ArchitectureBuilder::new(self.task.input);
        let input = net.input();
        let mut x = conv_bn(&mut net, "stem", input, Window::dense(self.channels, 3, 1))?;
        x = net.activation("stem.act", x, ActivationKind::Relu6)?;
        let mut genes = genes.iter();
        for (stage, (blocks, factor)) in STAGES.into_iter().enumerate() {
            for (index, gene) in genes.by_ref().take(blocks).enumerate() {
                let stride = if index == 0 { 2 } else { 1 };
                let name = format!("stage{stage}.block{index}");
                x = block(&mut net, &name, x, self.channels * factor, stride, OPTIONS[usize::from(*gene)])?;
            }
        }
        x = conv_bn(&mut net, "last", x, Window::dense(self.channels * LAST, 1, 1))?;
        x = net.activation("last.act", x, ActivationKind::Relu6)?;
        x = net.global_pool("pool", x)?;
        net.linear("head", x, self.task.outputs)?;
        net.finish()
    }
}

impl SearchSpace for NasBenchMacro {
    fn decisions(&self) -> &[Decision] {
        &self.decisions
    }

    fn decode(&self, genotype: &Genotype) -> Result<Architecture, SpaceError> {
        variation::check(&self.decisions, genotype)?;
        self.network(genotype.genes())
    }

    /// With `merge_equal`, moves identities without effect to the end of their stage. Without it, returns the
    /// genotype unchanged.
    fn canonical(&self, genotype: &Genotype) -> Genotype {
        if !self.merge_equal || variation::check(&self.decisions, genotype).is_err() {
            return genotype.clone();
        }
        let mut genes = genotype.genes().to_vec();
        let mut from = 0;
        for (blocks, _) in STAGES {
            // The sort is stable because the order of the other blocks matters.
            genes[from + 1..from + blocks].sort_by_key(|gene| *gene == 0);
            from += blocks;
        }
        Genotype::new(genes)
    }

    fn parameters(&self) -> Vec<ParameterSpec> {
        let networks = [0, 1, 2]
            .map(|gene| self.network(&[gene; 8]).expect("every stack can be built for a task that exists"));
        ParameterSpec::covering(&networks)
    }
}

/// Appends a convolution and a batch normalization.
fn conv_bn(
    net: &mut ArchitectureBuilder,
    name: &str,
    x: LayerId,
    Window { channels, kernel, stride, groups }: Window,
) -> Result<LayerId, SpaceError> {
    let x = net.conv(format!("{name}.conv"), x, channels, kernel, stride, groups)?;
    net.batch_norm(format!("{name}.bn"), x)
}

fn block(
    net: &mut ArchitectureBuilder,
    name: &str,
    input: LayerId,
    channels: usize,
    stride: usize,
    BlockOption { name: option, expansion, kernel }: BlockOption,
) -> Result<LayerId, SpaceError> {
    let inputs = net.shape(input).channels;
    if expansion == 0 {
        let passes = stride == 1 && inputs == channels;
        return if passes {
            Ok(input)
        } else {
            conv_bn(net, &format!("{name}.skip"), input, Window::dense(channels, 1, stride))
        };
    }
    let name = format!("{name}.{option}");
    let wide = inputs * expansion;
    let mut x = conv_bn(net, &format!("{name}.expand"), input, Window::dense(wide, 1, 1))?;
    x = net.activation(format!("{name}.expand.act"), x, ActivationKind::Relu6)?;
    x = conv_bn(
        net,
        &format!("{name}.depthwise"),
        x,
        Window { channels: wide, kernel, stride, groups: wide },
    )?;
    x = net.activation(format!("{name}.depthwise.act"), x, ActivationKind::Relu6)?;
    x = conv_bn(net, &format!("{name}.project"), x, Window::dense(channels, 1, 1))?;
    if stride == 1 && inputs == channels {
        net.add(format!("{name}.add"), Op::Add, &[input, x], None)
    } else {
        Ok(x)
    }
}

impl Default for NasBenchMacro {
    /// Creates the space of the published table, without merging.
    fn default() -> Self {
        let settings =
            Settings::new("space", [("merge_equal".to_owned(), false.into())].into_iter().collect());
        Self::from_settings(&settings, None).expect("the published settings are possible")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::size;

    #[test]
    fn counts_equal_published_rows() {
        // Rows of the published table: architecture, parameters, MACs.
        let rows = [("00000000", 387_882, 7_713_280), ("00000001", 791_594, 14_115_328)];
        for (digits, parameters, macs) in rows {
            let genes: Vec<u8> = digits.bytes().map(|digit| digit - b'0').collect();
            let counts = NasBenchMacro::default().decode(&Genotype::new(genes)).unwrap().counts();
            assert_eq!((counts.parameters, counts.macs), (parameters, macs), "{digits}");
        }
    }

    #[test]
    fn number_of_networks_equals_published_number() {
        assert_eq!(size::enumerate_canonical(&NasBenchMacro::default()).count(), 6_561);
        let merged = NasBenchMacro::from_settings(&Settings::empty("space"), None).unwrap();
        assert_eq!(size::enumerate_canonical(&merged).count(), 3_969);
    }

    #[test]
    fn channels_scale_all_widths() {
        let narrow = Settings::new("space", [("channels".to_owned(), 8.into())].into_iter().collect());
        let narrow = NasBenchMacro::from_settings(&narrow, None).unwrap();
        let genotype = Genotype::new(vec![2, 0, 1, 0, 2, 1, 1, 0]);
        let (whole, narrow) =
            (NasBenchMacro::default().decode(&genotype).unwrap(), narrow.decode(&genotype).unwrap());
        assert_eq!(whole.layers.len(), narrow.layers.len());
        for (whole, narrow) in whole.layers.iter().zip(&narrow.layers) {
            let proportion = if matches!(whole.op, Op::Input | Op::Linear { .. }) { 1 } else { 4 };
            assert_eq!(whole.output.channels, proportion * narrow.output.channels, "{}", whole.name);
        }
        for channels in [0, 1025] {
            let settings =
                Settings::new("space", [("channels".to_owned(), channels.into())].into_iter().collect());
            let error = NasBenchMacro::from_settings(&settings, None).unwrap_err().to_string();
            assert!(error.contains("`space.channels`") && error.contains("1 to 1024"), "{error}");
        }
    }

    #[test]
    #[ignore = "needs KILN_DATA: the table of NAS-Bench-Macro"]
    fn counts_equal_the_whole_published_table() {
        let Some(data) = std::env::var_os("KILN_DATA") else {
            eprintln!("skipped: the environment variable `KILN_DATA` does not name a folder with tables");
            return;
        };
        let path = std::path::Path::new(&data).join("nas_bench_macro/nas_bench_macro_cifar10.csv.gz");
        let file = std::fs::File::open(path).unwrap();
        let text = std::io::read_to_string(flate2::read::GzDecoder::new(file)).unwrap();
        let space = NasBenchMacro::default();
        let mut rows = 0;
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split(',').collect();
            let genes: Vec<u8> = fields[0].bytes().map(|digit| digit - b'0').collect();
            let counts = space.decode(&Genotype::new(genes)).unwrap().counts();
            assert_eq!(
                (counts.parameters.to_string(), counts.macs.to_string()),
                (fields[5].to_owned(), fields[6].to_owned()),
                "{line}"
            );
            rows += 1;
        }
        assert_eq!(rows, 6_561);
    }
}
