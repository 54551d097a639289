//! Resources one by one (RFC 7644 sections 3.3, 3.4.1, 3.5 and 3.6), alike for every type.
//!
//! Every answer with a resource has its version as `ETag` (section 3.14). `If-Match` and `If-None-Match` are
//! heeded by all but POST: 412 where they do not hold, and 304 for a GET of what the caller has.
//! `attributes` and `excludedAttributes` narrow what is answered, also to writes.

use super::{Admitted, CONTENT_TYPE, asked, failed, unavailable};
use crate::error::scim_problem;
use crate::http::context::MAX_BODY_BYTES;
use crate::runtime::new_id;
use portcullis_core::scim::ScimError;
use portcullis_core::scim::call::{
    ReadResource, Target, Versioned, View, Write, WriteReply, WriteResource, Written,
};
use portcullis_core::scim::group::GroupId;
use portcullis_core::scim::resource::version::{Conditions, Verdict, Version};
use portcullis_core::scim::schema::{GROUP, ResourceType, USER};
use portcullis_core::scim::user::UserId;
use worker::{Response, Result};

/// The longest body about a group, in bytes: it may name thousands of members.
const MAX_GROUP_BYTES: usize = 1024 * 1024;

/// What carries out what a change means for people, where an operator can see how far it is
/// ([`crate::http::scim_jobs`]).
const JOB: &str = "portcullis-job";

/// A type of resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    User,
    Group,
}

impl Kind {
    const fn of(self) -> &'static ResourceType {
        match self {
            Self::User => &USER,
            Self::Group => &GROUP,
        }
    }

    const fn max_body_bytes(self) -> usize {
        match self {
            Self::User => MAX_BODY_BYTES,
            Self::Group => MAX_GROUP_BYTES,
        }
    }

    /// The one of that id; `None`: there can be none.
    fn target(self, id: &str) -> Option<Target> {
        match self {
            Self::User => UserId::from_text(id).map(Target::User),
            Self::Group => GroupId::from_text(id).map(Target::Group),
        }
    }

    const fn target_from(self, bytes: [u8; 16]) -> Target {
        match self {
            Self::User => Target::User(UserId::from_bytes(bytes)),
            Self::Group => Target::Group(GroupId::from_bytes(bytes)),
        }
    }
}

/// POST.
pub(super) async fn create(mut ctx: Admitted, kind: Kind) -> Result<Response> {
    let view = match view(&ctx, kind) {
        Ok(view) => view,
        Err(error) => return failed(&error),
    };
    let body = match ctx.text_within(kind.max_body_bytes()).await? {
        Ok(body) => body,
        Err(problem) => return scim_problem(&problem),
    };
    let target = kind.target_from(new_id()?);
    let write = WriteResource {
        target,
        change: Write::Create(body),
        if_match: None,
        if_none_match: None,
        view: Some(view),
    };
    let response = written(&ctx, write, 201).await?;
    if response.status_code() == 201 {
        let id = target.id_text();
        let location = format!("{}{}/{id}", ctx.base(), kind.of().endpoint);
        response.headers().set("location", &location)?;
    }
    Ok(response)
}

/// GET by id.
pub(super) async fn get(ctx: Admitted, kind: Kind) -> Result<Response> {
    let headers = ctx.request.headers();
    let (if_match, if_none_match) = (headers.get("if-match")?, headers.get("if-none-match")?);
    let conditions = Conditions::new(if_match.as_deref(), if_none_match.as_deref());
    let (view, conditions) = match view(&ctx, kind).and_then(|view| Ok((view, conditions?))) {
        Ok(both) => both,
        Err(error) => return failed(&error),
    };
    let Some(target) = kind.target(ctx.param(0)) else {
        return failed(&ScimError::NotFound);
    };
    let read = ReadResource { target, view };
    let found = match ctx.ask(read).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => return failed(&error),
        Err(error) => return unavailable(&error),
    };
    match conditions.check(Some(Version(found.version)), true) {
        Ok(Verdict::Proceed) => resource(200, found),
        Ok(Verdict::NotModified) => bodiless(304, found.version),
        Err(error) => failed(&error),
    }
}

/// PUT.
pub(super) async fn replace(ctx: Admitted, kind: Kind) -> Result<Response> {
    let view = match view(&ctx, kind) {
        Ok(view) => view,
        Err(error) => return failed(&error),
    };
    by_body(ctx, kind, Write::Replace, Some(view)).await
}

/// PATCH. A group is answered only to who asks for attributes of it (RFC 7644 section 3.5.2 allows 204
/// otherwise): it may have thousands of members, whom the change need not have read.
pub(super) async fn patch(ctx: Admitted, kind: Kind) -> Result<Response> {
    let view = match view(&ctx, kind) {
        Ok(view) => view,
        Err(error) => return failed(&error),
    };
    let is_wanted = kind == Kind::User || view != View::default();
    by_body(ctx, kind, Write::Patch, is_wanted.then_some(view)).await
}

/// DELETE.
pub(super) async fn delete(ctx: Admitted, kind: Kind) -> Result<Response> {
    if let Err(error) = view(&ctx, kind) {
        return failed(&error);
    }
    change(&ctx, kind, Write::Delete, None).await
}

async fn by_body(
    mut ctx: Admitted,
    kind: Kind,
    by: fn(String) -> Write,
    view: Option<View>,
) -> Result<Response> {
    let body = match ctx.text_within(kind.max_body_bytes()).await? {
        Ok(body) => body,
        Err(problem) => return scim_problem(&problem),
    };
    change(&ctx, kind, by(body), view).await
}

async fn change(ctx: &Admitted, kind: Kind, change: Write, view: Option<View>) -> Result<Response> {
    let Some(target) = kind.target(ctx.param(0)) else {
        return failed(&ScimError::NotFound);
    };
    let headers = ctx.request.headers();
    let write = WriteResource {
        target,
        change,
        if_match: headers.get("if-match")?,
        if_none_match: headers.get("if-none-match")?,
        view,
    };
    written(ctx, write, 200).await
}

async fn written(ctx: &Admitted, write: WriteResource, status: u16) -> Result<Response> {
    let reply: WriteReply = match ctx.ask(write).await {
        Ok(reply) => reply,
        Err(error) => return unavailable(&error),
    };
    let Written {
        resource: changed,
        job,
    } = match reply {
        Ok(written) => written,
        Err(error) => return failed(&error),
    };
    let response = match changed {
        None => Response::empty()?.with_status(204),
        Some(changed) => resource(status, changed)?,
    };
    if let Some(job) = job {
        response.headers().set(JOB, &job.to_text())?;
    }
    Ok(response)
}

/// What of it is answered, if that can be asked for.
fn view(ctx: &Admitted, kind: Kind) -> std::result::Result<View, ScimError> {
    let view = View::of(&asked(ctx)?);
    view.projection(kind.of()).map(|_| view)
}

fn resource(status: u16, found: Versioned) -> Result<Response> {
    let Some(resource) = found.resource else {
        return bodiless(204, found.version);
    };
    let response = Response::ok(resource)?.with_status(status);
    response.headers().set("content-type", CONTENT_TYPE)?;
    response.headers().set("cache-control", "no-store")?;
    response
        .headers()
        .set("etag", &Version(found.version).to_etag())?;
    Ok(response)
}

fn bodiless(status: u16, version: u64) -> Result<Response> {
    let response = Response::empty()?.with_status(status);
    response
        .headers()
        .set("etag", &Version(version).to_etag())?;
    response.headers().set("cache-control", "no-store")?;
    Ok(response)
}
