//! Servers as processes of their own, so that a crash is a crash: SIGKILL, with no chance to tidy up.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use super::wait::{BROKEN_PROMISE, until, within};

/// How long a process may take until it listens.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a process may take to end by itself: a node answers what is under way first.
const END_TIMEOUT: Duration = Duration::from_secs(30);
/// How many lines of a process's output a failed test shows.
const OUTPUT_LINES: usize = 100;
/// The unit of CPU times in `/proc`: a Linux constant of its interface to programs, whatever the kernel's own tick is.
const TICKS_PER_SECOND: u32 = 100;

/// A program that says in its first line where it listens. It is killed when this is dropped, and shows its last output if
/// the test failed.
pub(crate) struct ServerProcess {
    program: PathBuf,
    arguments: Vec<OsString>,
    child: Child,
    /// Dropped after the process was killed.
    guard: Child,
    id: u64,
    url: String,
    output: Arc<Mutex<VecDeque<String>>>,
}

impl ServerProcess {
    /// Starts `traitwire serve` on a free port, with more arguments, and waits until it listens.
    pub(crate) async fn start<A: Into<OsString>>(arguments: impl IntoIterator<Item = A>) -> Self {
        let serve = ["serve", "--listen", "127.0.0.1:0"].map(OsString::from);
        let arguments = serve.into_iter().chain(arguments.into_iter().map(Into::into));
        Self::start_program(traitwire(), arguments.collect()).await
    }

    /// Starts `traitwire` with these arguments and waits until it listens.
    pub(crate) async fn start_traitwire(arguments: Vec<OsString>) -> Self {
        Self::start_program(traitwire(), arguments).await
    }

    /// Starts a program with these arguments and waits until it listens.
    pub(crate) async fn start_program(program: PathBuf, arguments: Vec<OsString>) -> Self {
        let output = Arc::default();
        let (child, id, url) = launch(&program, &arguments, &output).await;
        let guard = guard(child.id().expect("it was not waited for"));
        Self { program, arguments, child, guard, id, url, output }
    }

    /// Starts `traitwire` with these arguments, which name where to listen, under a limit of open descriptors.
    pub(crate) async fn start_limited(descriptors_max: usize, arguments: Vec<OsString>) -> Self {
        let script = format!("ulimit -n {descriptors_max} && exec \"$0\" \"$@\"");
        let shell = ["-c".into(), script.into(), traitwire().into()];
        Self::start_program("sh".into(), shell.into_iter().chain(arguments).collect()).await
    }

    /// Where it listens; another port after each start if the arguments leave that open.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The id it calls itself by.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Ends it with SIGKILL and waits until it is gone.
    pub(crate) async fn kill(&mut self) {
        let killed = within(END_TIMEOUT, format!("server {} to be killed", self.id), self.child.kill()).await;
        killed.expect("a child can be killed");
    }

    /// Starts it again with the same arguments, after a SIGKILL if it still runs.
    pub(crate) async fn restart(&mut self) {
        self.kill().await;
        (self.child, self.id, self.url) = launch(&self.program, &self.arguments, &self.output).await;
        self.guard = guard(self.pid());
    }

    /// Sends it a signal by name, such as `STOP`, `CONT` or `TERM`.
    pub(crate) async fn signal(&self, name: &str) {
        signal(self.pid(), name).await;
    }

    /// Waits until it has ended by itself, and gives its exit code; nothing if a signal has ended it.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        let ended = within(END_TIMEOUT, format!("server {} to end", self.id), self.child.wait()).await;
        ended.expect("a child can be waited for").code()
    }

    /// Whether it has not ended by itself.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child can be asked").is_none()
    }

    /// The memory it occupies, in bytes, without what it shares with files (its program, its libraries). `None` if it has ended.
    pub(crate) fn resident_bytes(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()?)).ok()?;
        // Until it is waited for, a process that has ended has a status without this line.
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("RssAnon is a number of kB");
        Some(kib * 1024)
    }

    /// How many files, sockets and the like it has open.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("the process runs").count()
    }

    /// The CPU time it has used, of all its threads.
    pub(crate) fn cpu_time(&self) -> Duration {
        cpu_time(&self.proc_file("stat"))
    }

    /// Waits until it has written a line with all of these parts, among the last ones, and gives it.
    pub(crate) async fn logged(&self, parts: &[&str]) -> String {
        let what = format!("{parts:?} in the log of server {}: {:#?}", self.id, self.lines());
        until(START_TIMEOUT, what, async || {
            self.lines().into_iter().find(|line| parts.iter().all(|part| line.contains(part)))
        })
        .await
    }

    /// The last lines that it has written.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.output.lock().expect("nothing panics under this lock").iter().cloned().collect()
    }

    /// What it wrote last, on one line.
    pub(crate) fn last_output(&self) -> String {
        let output = self.output.lock().expect("nothing panics under this lock");
        format!("its last output is {:?}", output.iter().rev().take(3).rev().collect::<Vec<_>>())
    }

    fn proc_file(&self, name: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.pid())).expect("the process runs")
    }

    /// The id of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("the process was not waited for")
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let output = self.output.lock().expect("nothing panics under this lock");
            eprintln!("the last output of server {} at {}:", self.id, self.url);
            for line in output.iter() {
                eprintln!("  {line}");
            }
        }
    }
}

/// A process that kills another one when this one has gone, even if it was killed: a test that is interrupted leaves no server
/// behind.
pub(crate) fn guard(pid: u32) -> Child {
    guard_target(&pid.to_string())
}

/// The same for all processes of a group.
pub(crate) fn guard_group(pid: u32) -> Child {
    guard_target(&format!("-{pid}"))
}

fn guard_target(target: &str) -> Child {
    Command::new("sh")
        // The end of its input is the end of the test. Dropping the guard kills it before its input ends.
        .args(["-c", "read -r never; kill -KILL -- \"$0\" 2>/dev/null", target])
        .stdin(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .expect("there is a shell")
}

/// The program that serves: the one of this build, or another one that `TRAITWIRE_BIN` names.
fn traitwire() -> PathBuf {
    std::env::var_os("TRAITWIRE_BIN").map_or_else(|| env!("CARGO_BIN_EXE_traitwire").into(), PathBuf::from)
}

/// Sends a process a signal by name, such as `INT`.
pub(crate) async fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().await;
    assert!(sent.expect("the command `kill` exists").success(), "SIG{name} was not sent");
}

/// Where the build has put an example of this workspace.
pub(crate) fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test is a program");
    // A test is in `deps`, beside the folder of the examples.
    let folder = test.ancestors().nth(2).expect("a test is in a folder of the build");
    let program = folder.join("examples").join(name);
    assert!(program.exists(), "{program:?} does not exist: run `cargo build --example {name}`");
    program
}

/// The CPU time that the calling thread has used.
pub(crate) fn thread_cpu_time() -> Duration {
    cpu_time(&std::fs::read_to_string("/proc/thread-self/stat").expect("this thread runs"))
}

/// The CPU time in a `stat` file of `/proc`.
fn cpu_time(stat: &str) -> Duration {
    // The second field is the program's name in parentheses and may hold spaces.
    let (_, fields) = stat.rsplit_once(')').expect("the name ends with a parenthesis");
    let user_and_system = fields.split_whitespace().skip(11).take(2);
    let ticks: u32 =
        user_and_system.map(|ticks| ticks.parse::<u32>().expect("utime and stime are numbers")).sum();
    Duration::from_secs(1) * ticks / TICKS_PER_SECOND
}

type Output = Arc<Mutex<VecDeque<String>>>;

/// Starts the process and reads the line that says where it listens.
async fn launch(program: &PathBuf, arguments: &[OsString], output: &Output) -> (Child, u64, String) {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the program of this workspace was built");
    let stdout = child.stdout.take().expect("it was piped");
    let errors = keep(child.stderr.take().expect("it was piped"), output);
    let mut lines = BufReader::new(stdout).lines();
    let first = tokio::time::timeout(START_TIMEOUT, lines.next_line())
        .await
        .unwrap_or_else(|_| {
            panic!("{BROKEN_PROMISE}{arguments:?} does not listen after {START_TIMEOUT:?}; {output:?}")
        })
        .expect("its output is text");
    let Some(first) = first else {
        let _last_words = tokio::time::timeout(START_TIMEOUT, errors).await;
        panic!("{BROKEN_PROMISE}{arguments:?} ended before it listened; {output:?}");
    };
    keep(lines.into_inner(), output);
    let event: serde_json::Value =
        serde_json::from_str(&first).unwrap_or_else(|error| panic!("{first:?} is no JSON: {error}"));
    assert_eq!(event["event"], "listening", "the first line is {first:?}");
    let id = event["id"].as_u64().expect("a node has a number");
    let url = event["url"].as_str().expect("a node has a URL").to_owned();
    (child, id, url)
}

/// Reads on for as long as the process writes, since a full pipe would stop it.
fn keep(stream: impl AsyncRead + Unpin + Send + 'static, output: &Output) -> JoinHandle<()> {
    let output = Arc::clone(output);
    let mut lines = BufReader::new(stream).lines();
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            let mut output = output.lock().expect("nothing panics under this lock");
            if output.len() == OUTPUT_LINES {
                output.pop_front();
            }
            output.push_back(line);
        }
    })
}

/// Whether a test that needs strace must fail where that is not there.
pub(crate) fn strace_is_required() -> bool {
    std::env::var("TRAITWIRE_STRACE").is_ok_and(|it| it == "required")
}

/// The first of some ports that are free, below those that the system hands out by itself.
pub(crate) fn free_ports(count: u16) -> u16 {
    loop {
        let first = fastrand::u16(20_000..32_000);
        let held: Vec<_> =
            (first..first + count).map(|port| TcpListener::bind(("127.0.0.1", port))).collect();
        if held.iter().all(Result::is_ok) {
            return first;
        }
    }
}
