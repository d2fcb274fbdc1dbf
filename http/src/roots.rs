//! The certificates to trust.

use std::path::Path;

use ureq::config::ConfigBuilder;
use ureq::typestate::AgentScope;

use crate::refusal::Refusal;

/// The certificates to trust. By default, these are those of the operating system.
#[derive(Clone, Debug, Default)]
pub struct Roots {
    #[cfg(feature = "https")]
    found: Option<std::sync::Arc<Vec<ureq::tls::Certificate<'static>>>>,
}

impl Roots {
    /// Reads the certificates of a file in PEM form.
    ///
    /// # Errors
    /// [`Refusal::Certificates`] if there are none, and without the feature `https`.
    #[cfg(feature = "https")]
    pub fn of_file(path: &Path) -> Result<Self, Refusal> {
        use ureq::tls::{PemItem, parse_pem};

        const MAX: u64 = 16 << 20;
        let wrong = |problem| Refusal::Certificates(path.to_owned(), problem);
        let text = kiln_files::read(path, MAX).map_err(|_| wrong("this file cannot be read"))?;
        let mut found = Vec::new();
        for item in parse_pem(&text) {
            if let PemItem::Certificate(certificate) = item.map_err(|_| wrong("this file is damaged"))? {
                found.push(certificate);
            }
        }
        if found.is_empty() {
            return Err(wrong("no certificates in PEM form"));
        }
        Ok(Self { found: Some(std::sync::Arc::new(found)) })
    }

    /// Reads the certificates of a file in PEM form.
    ///
    /// # Errors
    /// [`Refusal::Certificates`] if there are none, and without the feature `https`.
    #[cfg(not(feature = "https"))]
    pub fn of_file(path: &Path) -> Result<Self, Refusal> {
        Err(Refusal::Certificates(path.to_owned(), "this program was built without `https`"))
    }

    /// Adds the certificates to what connections are made with.
    #[cfg_attr(not(feature = "https"), allow(clippy::unused_self, reason = "TLS needs the certificates"))]
    pub(crate) fn apply(self, config: ConfigBuilder<AgentScope>) -> ConfigBuilder<AgentScope> {
        #[cfg(feature = "https")]
        let config = {
            use ureq::tls::{RootCerts, TlsConfig};

            let roots = self.found.map_or(RootCerts::PlatformVerifier, RootCerts::Specific);
            config.tls_config(TlsConfig::builder().root_certs(roots).build())
        };
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_without_certificates_is_refused() {
        let path = Path::new("Cargo.toml");
        let refused = Roots::of_file(path).err();
        assert!(matches!(&refused, Some(Refusal::Certificates(found, _)) if found == path), "{refused:?}");
    }
}
