//! Transcripts: what the agent answers to git-lfs, line by line, over a real store.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use datamon_test_support::{Hermetic, seeded_bytes};
use serde_json::{Value, json};

use super::{Team, file, first, line_with, oid};

/// An agent that runs.
struct Agent {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Agent {
    fn start(env: &Hermetic, dir: &Path) -> Agent {
        let mut command = env.command(env!("CARGO_BIN_EXE_git-datamon"));
        command.arg("lfs-agent").current_dir(dir);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the agent runs");
        let (input, output) = (child.stdin.take(), child.stdout.take().expect("piped"));
        Agent { child, input, output: BufReader::new(output) }
    }

    /// Started, and `init` answered as it must be.
    fn ready(env: &Hermetic, dir: &Path, operation: &str) -> Agent {
        let mut agent = Agent::start(env, dir);
        let init = json!({"event": "init", "operation": operation, "remote": "origin", "concurrent": false,
            "concurrenttransfers": 1, "unknown": {"of": "the future"}});
        agent.send(&init.to_string());
        assert_eq!(agent.line(), json!({}));
        agent
    }

    fn send(&mut self, line: &str) {
        let input = self.input.as_mut().expect("not closed yet");
        writeln!(input, "{line}").and_then(|()| input.flush()).expect("the agent reads");
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the agent answers in text");
        assert!(line.ends_with('\n'), "the agent is gone: {line:?}");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// Sends a request and reads up to its `complete`.
    fn ask(&mut self, request: &Value) -> Value {
        self.send(&request.to_string());
        let mut last = 0;
        loop {
            let reply = self.line();
            if reply["event"] == "complete" {
                assert_eq!(reply["oid"], request["oid"], "{reply}");
                return reply;
            }
            assert_eq!((&reply["event"], &reply["oid"]), (&json!("progress"), &request["oid"]), "{reply}");
            let so_far = reply["bytesSoFar"].as_u64().expect("a number");
            assert!(so_far >= last && so_far <= request["size"].as_u64().unwrap_or(u64::MAX), "{reply}");
            last = so_far;
        }
    }

    /// The message of a request that must fail: one line.
    fn refusal(&mut self, request: &Value) -> String {
        let reply = self.ask(request);
        let message = reply["error"]["message"].as_str().unwrap_or_else(|| panic!("it succeeded: {reply}"));
        assert!(!message.contains('\n') && !message.is_empty(), "{message}");
        message.to_owned()
    }

    /// Closes its input; it must end by itself, having said nothing more.
    fn end(mut self) {
        drop(self.input.take());
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).expect("text");
        assert_eq!(rest, "");
        assert!(self.child.wait().expect("it ends").success());
    }
}

fn upload(team: &Team, bytes: &[u8]) -> Value {
    let oid = oid(bytes);
    let path = team.object_path(&oid);
    json!({"event": "upload", "oid": oid, "size": bytes.len(), "path": path, "action": null})
}

fn download(bytes: &[u8]) -> Value {
    json!({"event": "download", "oid": oid(bytes), "size": bytes.len(), "action": null})
}

/// A team with three files committed and not pushed, and their contents.
fn three() -> (Team, [Vec<u8>; 3]) {
    let team = Team::new(first);
    let contents = [1, 2, 3].map(|seed| seeded_bytes(seed, 30_000));
    for (name, bytes) in ["a.bin", "b.bin", "c.bin"].iter().zip(&contents) {
        team.repo.write(name, bytes);
    }
    team.repo.add(".");
    team.repo.commit("three");
    (team, contents)
}

#[test]
fn init_opens_nothing_and_what_cannot_be_opened_fails_the_object() {
    let env = first();
    let mut agent = Agent::ready(&env, &env.work(), "download");
    for bytes in [&b"some"[..], b"other"] {
        let said = agent.refusal(&download(bytes));
        assert!(said.contains("not a git repository"), "{said}");
    }
    agent.end();
    let repo = env.init("no store");
    let mut agent = Agent::ready(&env, repo.dir(), "upload");
    let request = json!({"event": "upload", "oid": oid(b"x"), "size": 1, "path": "/x", "action": null});
    let said = agent.refusal(&request);
    assert!(said.contains("git datamon init"), "{said}");
    agent.end();
}

#[test]
fn hostile_lines_get_one_answer_each_and_the_rest_goes_on() {
    let (team, [a, ..]) = three();
    let mut agent = Agent::start(&team.env, team.repo.dir());
    let early = upload(&team, &a);
    agent.send(&early.to_string());
    assert_eq!(agent.line()["oid"], early["oid"], "before init");
    agent.send(r#"{"event":"init","operation":"upload","remote":"origin"}"#);
    assert_eq!(agent.line(), json!({}));
    let deep = "[".repeat(100_000);
    let long = format!(r#"{{"event":"upload","oid":"{}","path":"{}"}}"#, oid(&a), "x".repeat(2 << 20));
    let negative = format!(r#"{{"event":"upload","oid":"{}","size":-1,"path":"/x"}}"#, oid(&a));
    let hostile = [
        "garbage",
        "{}",
        "[]",
        "{\"event\":\"upload\"}",
        "{\"event\":\"upload\",\"oid\":\"../../etc/passwd\",\"size\":1,\"path\":\"/etc/passwd\"}",
        "{\"event\":\"download\",\"oid\":\"00\",\"size\":1}",
        "{\"event\":\"init\",\"operation\":\"upload\",\"remote\":\"origin\"}",
        "{\"event\":\"upload\",\"oid\":\"\u{1b}[31m\",\"size\":1,\"path\":\"/x\"}",
        "{\"event\":\"verify\",\"oid\":\"x\"}",
        &deep,
        &long,
        &negative,
    ];
    for line in hostile {
        agent.send(line);
        let reply = agent.line();
        let shown: String = line.chars().take(80).collect();
        assert!(reply["error"]["message"].is_string(), "{shown}: {reply}");
    }
    assert!(agent.ask(&early)["error"].is_null());
    agent.end();
    assert_eq!(team.stat("files"), 3);
}

#[test]
fn a_damaged_local_object_fails_alone() {
    let (team, [a, b, c]) = three();
    let (broken, gone) = (team.object_path(&oid(&a)), team.object_path(&oid(&b)));
    super::flip(&broken, 500);
    std::fs::remove_file(&gone).unwrap();
    std::fs::remove_file(team.repo.dir().join("b.bin")).unwrap();
    let mut agent = Agent::ready(&team.env, team.repo.dir(), "upload");
    let said = agent.refusal(&upload(&team, &a));
    assert!(said.contains(broken.to_str().unwrap()) && said.contains("add the file again"), "{said}");
    let said = agent.refusal(&upload(&team, &b));
    assert!(said.contains(gone.to_str().unwrap()) && said.contains("git lfs fetch"), "{said}");
    assert!(agent.ask(&upload(&team, &c))["error"].is_null());
    // git-lfs looks at the size only; a lie about it is found.
    let mut wrong = upload(&team, &c);
    wrong["size"] = json!(29_999);
    agent.refusal(&wrong);
    let cut = seeded_bytes(9, 1_000);
    std::fs::create_dir_all(team.object_path(&oid(&cut)).parent().unwrap()).unwrap();
    std::fs::write(team.object_path(&oid(&cut)), &cut[..999]).unwrap();
    let said = agent.refusal(&upload(&team, &cut));
    assert!(said.contains(&oid(&cut)), "{said}");
    agent.end();
    assert_eq!(team.stat("files"), 1);
    team.assert_sound();
}

#[test]
fn an_oid_that_nobody_has_fails_alone() {
    let team = Team::pushed(first);
    let clone = first().clone_from(team.remote.dir(), "clone");
    let bytes = super::files(1)["small/3 ä.bin"].clone();
    let mut agent = Agent::ready(clone.env(), clone.dir(), "download");
    let said = agent.refusal(&download(b"never pushed"));
    assert!(said.contains(&oid(b"never pushed")) && said.contains("git lfs push --all"), "{said}");
    let mut edited = download(&bytes);
    edited["size"] = json!(1);
    assert!(agent.refusal(&edited).contains("the pointer was edited"));
    let reply = agent.ask(&download(&bytes));
    let path = reply["path"].as_str().unwrap_or_else(|| panic!("{reply}"));
    assert!(std::fs::read(path).unwrap() == bytes);
    let tmp = clone.dir().join(".git/lfs/tmp").canonicalize().unwrap();
    assert!(Path::new(path).starts_with(tmp), "{path} is renamed by git-lfs, so it lies beside its objects");
    agent.end();
    super::assert_clean(&clone);
}

#[test]
fn complete_means_durable() {
    let (team, contents) = three();
    let mut agent = Agent::ready(&team.env, team.repo.dir(), "upload");
    assert!(agent.ask(&upload(&team, &contents[0]))["error"].is_null());
    agent.child.kill().expect("it runs");
    agent.child.wait().expect("it was killed");
    let clone = first().clone_from(team.repo.dir(), "clone");
    assert_eq!(clone.read("a.bin"), contents[0]);
    team.assert_sound();
}

#[test]
fn what_git_lfs_shows_of_an_error_is_one_line() {
    let team = Team::pushed(first);
    team.change("next", &file("next.bin", 5, 20_000));
    super::flip(&team.object_path(&oid(&seeded_bytes(5, 20_000))), 77);
    std::fs::remove_file(team.repo.dir().join(".git/hooks/pre-push")).unwrap();
    let said = super::git_fails(&team.repo, &["lfs", "push", "origin", "main"]);
    assert!(line_with(&said, "damaged").contains(&oid(&seeded_bytes(5, 20_000))), "{said}");
}
