//! The built-in search spaces, one module each.

pub(crate) mod mlp;
pub(crate) mod nasbench201;
pub(crate) mod nasbench_macro;
pub(crate) mod stages;

pub use mlp::Mlp;
pub use nasbench_macro::NasBenchMacro;
pub use nasbench201::NasBench201;
pub use stages::Stages;
