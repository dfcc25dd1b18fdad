//! TLS to the agent, with the system's authorities or those of a file.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Why there is no TLS connection.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file of authorities.
    #[error("cannot read the certificates of {path:?}: {source}")]
    CaFile {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: pem::Error,
    },
    /// Neither the file nor the system has any.
    #[error("there are no certificate authorities to trust; set ca_file")]
    NoAuthorities,
    /// The protocol.
    #[error("cannot set up TLS: {0}")]
    Setup(rustls::Error),
    /// The host's name.
    #[error("{0:?} cannot be a certificate's name")]
    Host(String),
    /// The handshake, or the certificate.
    #[error("TLS handshake: {0}")]
    Handshake(io::Error),
}

/// Whom to trust. Read once, at the first connection: a file that is not there yet is no failure to start.
#[derive(Debug)]
pub struct Tls {
    ca_file: Option<PathBuf>,
    config: Mutex<Option<Arc<ClientConfig>>>,
}

impl Tls {
    /// Trusts the authorities in this PEM file, or the system's.
    pub fn new(ca_file: Option<PathBuf>) -> Self {
        Self { ca_file, config: Mutex::new(None) }
    }

    /// Makes the handshake with the host.
    pub async fn wrap(&self, host: &str, stream: TcpStream) -> Result<TlsStream<TcpStream>, TlsError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| TlsError::Host(host.to_owned()))?;
        let connector = TlsConnector::from(self.config()?);
        connector.connect(name, stream).await.map_err(TlsError::Handshake)
    }

    fn config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let mut held = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = &*held {
            return Ok(Arc::clone(config));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?
            .with_root_certificates(self.authorities()?)
            .with_no_client_auth();
        Ok(Arc::clone(held.insert(Arc::new(config))))
    }

    fn authorities(&self) -> Result<RootCertStore, TlsError> {
        let certificates = match &self.ca_file {
            Some(path) => CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|source| TlsError::CaFile { path: path.clone(), source })?,
            None => rustls_native_certs::load_native_certs().certs,
        };
        let mut store = RootCertStore::empty();
        // Some of a system's bundle may be of a kind rustls does not take.
        store.add_parsable_certificates(certificates);
        if store.is_empty() { Err(TlsError::NoAuthorities) } else { Ok(store) }
    }
}
