//! `resnetd top`: the live numbers of running servers in a terminal. Here are the clock, the keys and the signals.
//!
//! A task a server looks at it, a thread waits for keys, and one loop draws. Whatever ends it (a key, a signal, a panic)
//! leaves the terminal as it was: what panics restores it before it says why.

use std::{
    io::{self, IsTerminal as _},
    panic,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use hyper::{HeaderMap, header::AUTHORIZATION};
use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
};
use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use super::{auth::ApiKeyArgs, output::Output, tls::ClientTlsArgs};
use crate::{
    loadgen::Endpoint,
    top::{ServerLook, ServerWatch, TopKey, TopScreen, lines},
};

/// A server that needs longer does not answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a key may wait for the thread that reads keys to see that all is over.
const KEY_PAUSE: Duration = Duration::from_millis(100);
/// How long somebody has not answered is told in seconds.
const REDRAW: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(super) struct TopArgs {
    /// A server's HTTP port; several servers with several --url
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8000")]
    url: Vec<String>,
    /// Seconds between two looks, 0.2 to 3600
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    interval: Duration,
    /// Print what there is as text, and end; so it is too where the output is no terminal. Exit 1 where a server does not answer
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    tls: ClientTlsArgs,
    #[command(flatten)]
    key: ApiKeyArgs,
}

impl TopArgs {
    /// Refuses what no server could be asked with.
    fn check(&self) -> anyhow::Result<()> {
        let mut wants_tls = false;
        for url in &self.url {
            wants_tls |= Endpoint::judge(url).context("--url")?;
        }
        if self.tls.is_used() {
            ensure!(wants_tls, "--ca, --cert and --key are for TLS: no --url begins with https://");
            self.tls.read()?.config(false)?;
        }
        Ok(())
    }

    /// Whoever asks, one for each server.
    fn watches(&self) -> anyhow::Result<Vec<ServerWatch>> {
        let headers: HeaderMap = self.key.authorization()?.map(|key| (AUTHORIZATION, key)).into_iter().collect();
        Ok(self.url.iter().map(|url| ServerWatch::new(url, self.tls.files(), headers.clone())).collect())
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let range = 0.2..=3600.0;
    let seconds = text.parse::<f64>().ok().filter(|seconds| range.contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| format!("`{text}` is not 0.2 to 3600 seconds"))
}

pub(super) fn run(args: &TopArgs) -> anyhow::Result<()> {
    args.check()?;
    let mut screen = TopScreen::new(&args.url, args.interval);
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let outcome = if args.once || !io::stdout().is_terminal() {
        runtime.block_on(once(args, &mut screen))
    } else {
        let mut terminal = Raised::new()?;
        runtime.block_on(live(args, &mut screen, &mut terminal.0))
    };
    // A look-up of a name may still be under way, on a thread that nobody can stop.
    runtime.shutdown_background();
    outcome
}

/// All servers at once, and what they say.
async fn once(args: &TopArgs, screen: &mut TopScreen) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut looks = JoinSet::new();
    for (index, mut watch) in args.watches()?.into_iter().enumerate() {
        looks.spawn(async move { (index, watch.look(PATIENCE).await) });
    }
    while let Some(looked) = looks.join_next().await {
        let (index, outcome) = looked?;
        note(screen, index, outcome, begun.elapsed());
    }
    let mut output = Output::stdout();
    for line in lines(&screen.views(begun.elapsed())) {
        output.line(&line)?;
    }
    output.finish()?;
    let silent: Vec<&str> =
        args.url.iter().zip(&screen.servers).filter(|(_, server)| !server.answers()).map(|(url, _)| &**url).collect();
    match silent.is_empty() {
        true => Ok(()),
        false => bail!(
            "no answer from {}: is it running, is this the HTTP port, and does it want --ca, --cert and --key?",
            silent.join(", ")
        ),
    }
}

/// Until somebody has seen enough.
async fn live(args: &TopArgs, screen: &mut TopScreen, terminal: &mut DefaultTerminal) -> anyhow::Result<()> {
    let begun = Instant::now();
    let (told, mut news) = mpsc::channel(args.url.len().max(1));
    let mut watches = JoinSet::new();
    for (index, server) in args.watches()?.into_iter().enumerate() {
        watches.spawn(watch(server, index, args.interval, told.clone()));
    }
    drop(told);
    let (pressed, mut keys) = mpsc::channel(16);
    let _keyboard = Keyboard::read(pressed)?;
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut clock = interval(REDRAW);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        terminal.draw(|frame| screen.draw(frame, begun.elapsed()))?;
        tokio::select! {
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            key = keys.recv() => match key {
                Some(Some(key)) if !screen.press(key, begun.elapsed()) => return Ok(()),
                // A resize: the next drawing sees it.
                Some(_) => {}
                None => bail!("the keyboard cannot be read any more"),
            },
            news = news.recv() => {
                if let Some((index, outcome)) = news {
                    note(screen, index, outcome, begun.elapsed());
                }
            }
            ended = watches.join_next() => match ended {
                Some(Err(error)) if error.is_panic() => panic::resume_unwind(error.into_panic()),
                _ => return Ok(()),
            },
            _ = clock.tick() => {}
        }
    }
}

type News = (usize, Result<ServerLook, String>);

/// Looks at a server again and again; ends with the screen.
async fn watch(mut server: ServerWatch, index: usize, pause: Duration, told: mpsc::Sender<News>) {
    loop {
        let next = Instant::now() + pause;
        let outcome = server.look(PATIENCE).await;
        if told.send((index, outcome)).await.is_err() {
            return;
        }
        // What took longer than the pause is not asked again at once.
        sleep(next.saturating_duration_since(Instant::now()).max(pause / 10)).await;
    }
}

fn note(screen: &mut TopScreen, index: usize, outcome: Result<ServerLook, String>, at: Duration) {
    let Some(server) = screen.servers.get_mut(index) else { return };
    match outcome {
        Ok(look) => server.answered(ServerLook { at, ..look }),
        Err(why) => server.failed(why, at),
    }
}

/// The terminal as a screen. Dropped, it is as it was.
struct Raised(DefaultTerminal);

impl Raised {
    fn new() -> anyhow::Result<Self> {
        let terminal = ratatui::try_init().context("this terminal has no screen: use --once")?;
        Ok(Self(terminal))
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = ratatui::try_restore();
    }
}

/// The thread that waits for keys.
struct Keyboard {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Keyboard {
    /// * `pressed`: gets keys, and nothing where only the size changed
    fn read(pressed: mpsc::Sender<Option<TopKey>>) -> io::Result<Self> {
        let over = Arc::new(AtomicBool::new(false));
        let is_over = over.clone();
        let thread = thread::Builder::new().name("keys".to_owned()).spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                let news = match event::poll(KEY_PAUSE) {
                    Ok(false) => continue,
                    Ok(true) => event::read(),
                    Err(error) => Err(error),
                };
                let key = match news {
                    Ok(Event::Resize(..)) => None,
                    Ok(Event::Key(key)) => match meant(&key) {
                        Some(key) => Some(key),
                        None => continue,
                    },
                    Ok(_) => continue,
                    // Whoever draws sees that nobody reads keys any more.
                    Err(_) => return,
                };
                // Of a key that is held down some may be lost; waiting here would keep the thread from being joined.
                if let Err(mpsc::error::TrySendError::Closed(_)) = pressed.try_send(key) {
                    return;
                }
            }
        })?;
        Ok(Self { over, thread: Some(thread) })
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take().filter(|_| !thread::panicking()) {
            let _ = thread.join();
        }
    }
}

fn meant(key: &KeyEvent) -> Option<TopKey> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(TopKey::Quit),
        KeyCode::Char('q') | KeyCode::Esc => Some(TopKey::Quit),
        KeyCode::Up | KeyCode::Char('k') => Some(TopKey::Up),
        KeyCode::Down | KeyCode::Char('j') => Some(TopKey::Down),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_c_is_a_key_and_quits() {
        let key = |code, modifiers| meant(&KeyEvent::new(code, modifiers));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(TopKey::Quit));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::NONE), None);
        assert_eq!(key(KeyCode::Char('q'), KeyModifiers::NONE), Some(TopKey::Quit));
        assert_eq!(key(KeyCode::Down, KeyModifiers::NONE), Some(TopKey::Down));
    }

    /// Runs itself once more, in a terminal of its own, with this variable set: then it is the one that panics.
    const PANICS: &str = "RESNETD_TEST_PANICS_ON_THE_SCREEN";

    #[test]
    fn a_panic_leaves_the_terminal_as_it_was_and_then_says_why() {
        if std::env::var_os(PANICS).is_some() {
            let _raised = Raised::new().expect("a terminal");
            panic!("this one was provoked");
        }
        let name = "cli::top::tests::a_panic_leaves_the_terminal_as_it_was_and_then_says_why";
        let program = std::env::current_exe().expect("this program");
        let shell = format!(
            "stty rows 24 cols 80; before=$(stty -g); {PANICS}=1 '{}' --exact {name} --nocapture; \
             test \"$before\" = \"$(stty -g)\" && echo the terminal is as it was",
            program.display()
        );
        let mut script = std::process::Command::new("script");
        script.args(["-q", "-e", "-c", &shell, "/dev/null"]).stdin(std::process::Stdio::null()).env("TERM", "xterm");
        let output = script.output().expect("`script` of util-linux, which gives it a terminal");
        let text = String::from_utf8_lossy(&output.stdout);
        let place = |part: &str| text.find(part).unwrap_or_else(|| panic!("no {part:?} in {text:?}"));
        let (raised, left) = (place("\u{1b}[?1049h"), place("\u{1b}[?1049l"));
        assert!(raised < left && left < place("this one was provoked"), "{text:?}");
        place("the terminal is as it was");
    }

    #[test]
    fn an_interval_is_in_seconds_and_not_shorter_than_a_server_likes() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["0", "-1", "NaN", "1e9", "two"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
