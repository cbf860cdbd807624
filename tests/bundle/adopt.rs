use datamon_test_support::{Hermetic, Output, run, run_failing, seeded_bytes};

use super::{json, machine};

fn in_repo(env: &Hermetic, args: &[&str]) -> Output {
    run(env.command("git").args(["-C", "repo", "datamon"]).args(args).current_dir(env.work()))
}

#[test]
fn an_uploaded_version_becomes_that_of_a_commit_with_the_same_content() {
    let env = machine();
    env.install_git_lfs();
    let repo = env.init("repo");
    in_repo(&env, &["init", "--store", "../store", "--track", "*.bin"]);
    repo.write("large.bin", seeded_bytes(1, 100_000));
    repo.write("plain.txt", "text\n");
    repo.add(".");
    repo.commit("data");
    let uploaded = in_repo(&env, &["upload", ".", "-m", "before git"]).text().to_owned();
    let made = json(&in_repo(&env, &["adopt", "latest", "--json"]));
    assert_eq!(
        (&made["from"], &made["already"], &made["unlike"]),
        (&uploaded.clone().into(), &false.into(), &serde_json::json!([]))
    );
    let shown = json(&in_repo(&env, &["show", "HEAD", "--json"]));
    assert_eq!(shown["bundle"], made["bundle"]);
    assert_eq!(
        (&shown["message"], &shown["parents"]),
        (&"before git".into(), &serde_json::json!([uploaded]))
    );
    assert_eq!(shown["commit"], made["commit"]);
    // Twice is once.
    let again = json(&in_repo(&env, &["adopt", &uploaded, "--json"]));
    assert_eq!((&again["bundle"], &again["already"]), (&made["bundle"], &true.into()));
    assert_eq!(in_repo(&env, &["diff", &uploaded, "HEAD"]).text(), "");
    // That it has a version says nothing of another upload.
    repo.write("beside.txt", "x");
    let unlike = in_repo(&env, &["upload", "."]).text().to_owned();
    let differs = run_failing(
        env.command("git").args(["-C", "repo", "datamon", "adopt", &unlike, "HEAD"]).current_dir(env.work()),
    );
    assert_eq!(differs.text(), "only in the bundle: beside.txt");
    std::fs::remove_file(repo.dir().join("beside.txt")).expect("there");

    repo.write("plain.txt", "edited\n");
    repo.write("new.txt", "new\n");
    repo.add(".");
    repo.commit("more");
    repo.write("untracked.txt", "x");
    let other = in_repo(&env, &["upload", "."]).text().to_owned();
    let differs = run_failing(
        env.command("git").args(["-C", "repo", "datamon", "adopt", &uploaded]).current_dir(env.work()),
    );
    assert_eq!(differs.code, Some(1), "{}", differs.stderr);
    assert_eq!(differs.text(), "only in the commit: new.txt\nof other content: plain.txt");
    let differs = run_failing(
        env.command("git").args(["-C", "repo", "datamon", "adopt", &other, "HEAD"]).current_dir(env.work()),
    );
    assert_eq!(differs.text(), "only in the bundle: untracked.txt");
    super::make_executable(&repo.dir().join("large.bin"));
    std::fs::remove_file(repo.dir().join("untracked.txt")).expect("there");
    let other = in_repo(&env, &["upload", "."]).text().to_owned();
    let differs = run_failing(
        env.command("git").args(["-C", "repo", "datamon", "adopt", &other, "HEAD"]).current_dir(env.work()),
    );
    assert_eq!(differs.text(), "of another mode: large.bin");

    // A store that only the repository names gets nothing from who does not trust it.
    run(env.command("git").args(["config", "--global", "--unset-all", "datamon.trust"]));
    let refused = run_failing(
        env.command("git").args(["-C", "repo", "datamon", "upload", "."]).current_dir(env.work()),
    );
    assert!(refused.code == Some(3) && refused.stderr.contains("git datamon trust"), "{}", refused.stderr);
}
