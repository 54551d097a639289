//! `DPoP` proofs on requests to the service itself (RFC 9449 section 4.3).

use crate::http::context::Ctx;
use portcullis_core::jwt::dpop::ProofVerifier;
use portcullis_core::session::grant::{OneTime, Proof};
use worker::Result;

/// The proof does not prove, or there is more than one.
pub struct Invalid;

/// The verified proof that came with a request for a token, if one came. Whether it is new is the
/// subject's to say.
pub fn proof(ctx: &Ctx) -> Result<std::result::Result<Option<Proof>, Invalid>> {
    let Some(header) = ctx.request.headers().get("dpop")? else {
        return Ok(Ok(None));
    };
    let verifier = ProofVerifier {
        method: &ctx.request.inner().method(),
        // By our own name, not by the one that the caller used.
        url: &format!("{}{}", ctx.config.issuer, ctx.url.path()),
        access_token: None,
    };
    Ok(match verifier.verify(&header, ctx.now) {
        Ok(proof) => Ok(Some(Proof {
            jkt: proof.jkt().to_owned(),
            once: OneTime {
                digest: proof.replay_digest(),
                until: proof.expires_at(),
            },
        })),
        Err(_) => Err(Invalid),
    })
}
