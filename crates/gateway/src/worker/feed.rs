//! The view of the feed that the requests of an isolate share, and keep fresh: what
//! [`refresh`](crate::view::refresh) tells them to do is done here.
//!
//! Pages come through the service binding `CHECKS`. Whoever is told to ask does so beside its request, so that a
//! caller who hangs up leaves nobody waiting; and goes on asking as long as there is more.

use super::http::within;
use super::{checks, keys, now, sleep_ms};
use crate::config::Config;
use crate::consistency::{Course, WhenStale};
use crate::deployment::Deployment;
use crate::view::marks::Marks;
use crate::view::page::Opened;
use crate::view::refresh::{Feed, PATIENCE_MS, Ticket, Turn, Wait};
use crate::view::seed::Seed;
use crate::view::{Local, Progress};
use futures::channel::oneshot;
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use worker::{Context, Env, console_error};

/// How long a question may take until its answer is taken in: less than others wait before they ask.
const ANSWER: Duration = Duration::from_secs(2);
/// How often one request asks for more: a million entries are 200 pages, and requests may not go on for ever.
const MOST_QUESTIONS: u32 = 100;

thread_local! {
    static SEED: OnceCell<Seed> = const { OnceCell::new() };
    static FEED: RefCell<Option<Feed>> = const { RefCell::new(None) };
}

/// What the fingerprints of this isolate are made with; `None` without randomness.
pub fn seed() -> Option<Seed> {
    SEED.with(|cell| {
        if let Some(seed) = cell.get() {
            return Some(seed.clone());
        }
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)
            .inspect_err(|error| console_error!("no randomness: {error}"))
            .ok()?;
        Some(cell.get_or_init(|| Seed::from_bytes(bytes)).clone())
    })
}

/// What a request does whose credential has these marks, on a route that is content with a view of that age.
pub async fn course(
    marks: &Marks,
    (max_age_ms, when_stale): (u64, WhenStale),
    deployment: &Rc<Deployment>,
    env: &Env,
    ctx: &Context,
) -> Course {
    let course = Course::of(judge(marks, max_age_ms), when_stale);
    if course != Course::Wait {
        let freshest = deployment.freshest_view_ms.unwrap_or(max_age_ms);
        if let Some(ticket) = with_feed(|feed| feed.due(freshest, now())).flatten() {
            ctx.wait_until(load(ticket, freshest, Rc::clone(deployment), env.clone()));
        }
        return course;
    }
    wait(max_age_ms, deployment, env, ctx).await;
    Course::after_waiting(judge(marks, max_age_ms))
}

fn judge(marks: &Marks, max_age_ms: u64) -> Local {
    with_feed(|feed| feed.judge(marks, now(), max_age_ms)).unwrap_or(Local::Stale)
}

/// Waits until the view is fresh, or it is no use to.
async fn wait(max_age_ms: u64, deployment: &Rc<Deployment>, env: &Env, ctx: &Context) {
    let mut turn = Turn::default();
    loop {
        match with_feed(|feed| feed.wait(&mut turn, max_age_ms, now())) {
            None | Some(Wait::Judge | Wait::GiveUp) => return,
            Some(Wait::Sleep(ms)) => sleep_ms(ms).await,
            Some(Wait::Ask(ticket)) => {
                let (done, answered) = oneshot::channel();
                let (deployment, env) = (Rc::clone(deployment), env.clone());
                ctx.wait_until(async move {
                    let progress = ask(ticket, &deployment.config, &env).await;
                    // Nobody listens if the request is over.
                    let _ = done.send(());
                    go_on(progress, max_age_ms, deployment, env).await;
                });
                // Whichever comes first: what is there then is judged.
                let _ = within(Duration::from_millis(PATIENCE_MS), answered).await;
            }
        }
    }
}

/// Asks, and again as long as there is more.
async fn load(ticket: Ticket, max_age_ms: u64, deployment: Rc<Deployment>, env: Env) {
    let progress = ask(ticket, &deployment.config, &env).await;
    go_on(progress, max_age_ms, deployment, env).await;
}

async fn go_on(
    mut progress: Option<Progress>,
    max_age_ms: u64,
    deployment: Rc<Deployment>,
    env: Env,
) {
    for _ in 0..MOST_QUESTIONS {
        if progress != Some(Progress::Behind) {
            return;
        }
        let Some(ticket) = with_feed(|feed| feed.due(max_age_ms, now())).flatten() else {
            return;
        };
        progress = ask(ticket, &deployment.config, &env).await;
    }
}

/// Asks once, takes in what comes, and reports.
async fn ask(ticket: Ticket, config: &Config, env: &Env) -> Option<Progress> {
    let pages = match within(ANSWER, pages(config, env)).await {
        Some(Ok(pages)) => pages,
        failed => {
            let error = failed.and_then(Result::err);
            let error = error.unwrap_or_else(|| "timed out".to_owned());
            console_error!("the feed could not be read: {error}");
            with_feed(|feed| feed.failed(ticket, now()));
            return None;
        }
    };
    with_feed(|feed| feed.answered(ticket, pages, now()))?
        .inspect_err(|refused| console_error!("the feed was not taken in: {refused}"))
        .ok()
}

/// A page of each feed, opened, with its age in milliseconds.
async fn pages(config: &Config, env: &Env) -> Result<Vec<(Opened, u64)>, String> {
    let poll = with_feed(|feed| feed.poll()).ok_or("no randomness")?;
    let polled = checks::poll(env, &poll).await;
    let polled = polled.map_err(|error| error.to_string())?;
    let mut pages = Vec::with_capacity(polled.pages.len());
    for polled in polled.pages {
        let opened = keys::open(&polled.page, config).await;
        let opened = opened.map_err(|failure| match failure {
            keys::Failure::Token(why) => {
                format!("a page that is not the service's: {}", why.as_str())
            }
            keys::Failure::NoKeys => "no keys".to_owned(),
        })?;
        pages.push((opened, polled.age_ms));
    }
    Ok(pages)
}

/// Lends the feed. Nothing is awaited meanwhile.
fn with_feed<T>(use_it: impl FnOnce(&mut Feed) -> T) -> Option<T> {
    let seed = seed()?;
    Some(FEED.with_borrow_mut(|feed| use_it(feed.get_or_insert_with(|| Feed::new(seed)))))
}
