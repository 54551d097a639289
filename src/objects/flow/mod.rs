//! A log-in on its way through the identity provider, before there is a subject.
//!
//! Kept once, taken once, by the browser that began it; after ten minutes the alarm erases it.

use super::call::{answered, received};
use super::durable_sql::DurableSql;
use super::sql::{Sql, SqlError, has_schema, migrate};
use crate::runtime::now;
use portcullis_core::oauth::{Flow as LogInFlow, FlowRequest};
use portcullis_core::time::UnixMillis;
use portcullis_core::wire;
use std::time::Duration;
use worker::{DurableObject, Env, Request, Response, Result, State, durable_object};

const MIGRATIONS: &[&str] = &[include_str!("migrations/0001_flow.sql")];
/// How long a person may take at the identity provider, in seconds.
pub const FLOW_TTL_SECS: u64 = 600;

/// A flow over its storage.
struct FlowService<S> {
    sql: S,
}

impl<S: Sql> FlowService<S> {
    fn answer(
        &self,
        request: FlowRequest,
        now: UnixMillis,
    ) -> std::result::Result<Vec<u8>, SqlError> {
        match request {
            FlowRequest::Begin(begin) => {
                migrate(&self.sql, MIGRATIONS)?;
                let values = [
                    now.plus_secs(FLOW_TTL_SECS).0.into(),
                    wire::encode(&begin.flow)?.into(),
                ];
                self.sql.exec(
                    "INSERT INTO flow (id, expires_at, flow) VALUES (1, ?, ?)",
                    &values,
                )?;
                Ok(wire::encode(&())?)
            }
            FlowRequest::Take(take) => {
                let flow = self
                    .stored(now)?
                    .filter(|flow| flow.browser == take.browser);
                if flow.is_some() {
                    self.sql.exec("DELETE FROM flow", &[])?;
                }
                Ok(wire::encode(&flow)?)
            }
        }
    }

    fn stored(&self, now: UnixMillis) -> std::result::Result<Option<LogInFlow>, SqlError> {
        if !has_schema(&self.sql)? {
            return Ok(None);
        }
        self.sql
            .exec(
                "SELECT flow FROM flow WHERE expires_at > ?",
                &[now.0.into()],
            )?
            .first()
            .map(|row| Ok(wire::decode(row.blob(0)?)?))
            .transpose()
    }
}

/// One log-in or authorization request.
#[durable_object(alarm)]
pub struct Flow {
    state: State,
    service: FlowService<DurableSql>,
}

impl DurableObject for Flow {
    fn new(state: State, _env: Env) -> Self {
        let sql = DurableSql::new(&state);
        Self {
            state,
            service: FlowService { sql },
        }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let request: FlowRequest = received(&mut request).await?;
        let begins = matches!(request, FlowRequest::Begin(_));
        let reply = self.service.answer(request, now());
        if begins && reply.is_ok() {
            let erase = Duration::from_secs(FLOW_TTL_SECS);
            self.state.storage().set_alarm(erase).await?;
        }
        answered(reply)
    }

    async fn alarm(&self) -> Result<Response> {
        self.state.storage().delete_all().await?;
        Response::empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::host_sql::HostSql;
    use portcullis_core::oauth::{BeginFlow, TakeFlow};
    use portcullis_core::secret::Digest;
    use portcullis_core::session::login::ClientRequest;
    use portcullis_core::wire::Call;

    fn begun() -> FlowService<HostSql> {
        let service = FlowService {
            sql: HostSql::new(),
        };
        let flow = LogInFlow {
            client: ClientRequest {
                client_id: "c".into(),
                redirect_uri: "r".into(),
                code_challenge: "x".into(),
                nonce: None,
                scope: "openid".into(),
                audiences: vec!["a".into()],
                dpop_jkt: None,
            },
            client_state: None,
            begun_at: UnixMillis(0),
            browser: Digest::of(b"cookie"),
            nonce: "n".into(),
            code_verifier: "v".into(),
        };
        let begin = BeginFlow { flow }.into_request();
        service.answer(begin, UnixMillis(0)).expect("stores");
        service
    }

    fn take(service: &FlowService<HostSql>, cookie: &[u8], now: u64) -> bool {
        let take = TakeFlow {
            browser: Digest::of(cookie),
        };
        let reply = service
            .answer(take.into_request(), UnixMillis(now))
            .expect("reads");
        wire::decode::<Option<LogInFlow>>(&reply)
            .expect("decodes")
            .is_some()
    }

    #[test]
    fn a_flow_is_taken_once_and_only_by_its_browser() {
        let service = begun();
        assert!(!take(&service, b"other", 1));
        assert!(take(&service, b"cookie", 1));
        assert!(!take(&service, b"cookie", 1));
    }

    #[test]
    fn a_flow_expires_and_one_that_never_was_is_nothing() {
        assert!(!take(&begun(), b"cookie", FLOW_TTL_SECS * 1000));
        let never = FlowService {
            sql: HostSql::new(),
        };
        assert!(!take(&never, b"cookie", 1));
        assert_eq!(has_schema(&never.sql), Ok(false));
    }

    #[test]
    fn a_flow_id_is_used_for_one_flow() {
        let service = begun();
        let again = FlowRequest::Begin(BeginFlow {
            flow: service
                .stored(UnixMillis(1))
                .expect("reads")
                .expect("there"),
        });
        assert!(service.answer(again, UnixMillis(1)).is_err());
    }
}
