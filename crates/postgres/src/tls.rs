//! Encrypted connections: rustls, with PostgreSQL's levels of trust.

use std::sync::Arc;

use everdure_core::{BackendError, BackendResult};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::options::{PostgresOptions, SslMode};

/// The connector for these options.
pub(crate) fn connector(options: &PostgresOptions) -> BackendResult<MakeRustlsConnect> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| BackendError::Refused { context: "setting up TLS".into(), source: Some(error.into()) })?;
    let chain = match options.ssl_mode {
        SslMode::Disable | SslMode::Prefer | SslMode::Require => None,
        SslMode::VerifyCa | SslMode::VerifyFull => Some(chain(options, &provider)?),
    };
    let verifier = Arc::new(Verifier { provider, chain, any_name: options.ssl_mode == SslMode::VerifyCa });
    let config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn chain(options: &PostgresOptions, provider: &Arc<CryptoProvider>) -> BackendResult<Arc<WebPkiServerVerifier>> {
    let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(options)?), Arc::clone(provider));
    builder.build().map_err(|error| BackendError::Refused {
        context: "no usable root certificate: install ca-certificates or name a file with sslrootcert".into(),
        source: Some(error.into()),
    })
}

fn roots(options: &PostgresOptions) -> BackendResult<RootCertStore> {
    let mut roots = RootCertStore::empty();
    match &options.ssl_root_cert {
        None => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
        }
        Some(path) => {
            let unreadable = |error: rustls::pki_types::pem::Error| BackendError::Invalid {
                context: format!("cannot read the root certificates in {}", path.display()),
                source: Some(error.into()),
            };
            let certificates = CertificateDer::pem_file_iter(path).map_err(unreadable)?;
            for certificate in certificates {
                roots.add(certificate.map_err(unreadable)?).map_err(|error| BackendError::Invalid {
                    context: format!("{} holds something that is no root certificate", path.display()),
                    source: Some(error.into()),
                })?;
            }
        }
    }
    Ok(roots)
}

/// Without a chain (`prefer` and `require`) whoever the server is; with any name (`verify-ca`) a certificate of a
/// trusted authority, whatever name it carries; else (`verify-full`) both.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    chain: Option<Arc<WebPkiServerVerifier>>,
    any_name: bool,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.any_name => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
