//! `git datamon lineage`: what a dataset version came from, and what came from it.

use std::fmt::Write as _;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::dataset::DatasetArgs;
use crate::cli::errors::CommandError;
use crate::cli::{Context, when};
use crate::id::BundleId;
use crate::ops::lineage::{Node, Way, walk};

/// Show what a dataset version came from, or what came from it
///
/// Follows the parents of versions across commits, nearest first, each once.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    git datamon lineage                              what HEAD's version came from\n  \
    git datamon lineage reviewed --down              what came from it\n  \
    git datamon lineage --dot | dot -Tsvg > lineage.svg\n  \
    git datamon lineage latest --json --store /srv/data --repo weather")]
pub struct LineageArgs {
    /// The version, named as for `show`; by default that of HEAD, or `latest` where there is no git.
    version: Option<String>,

    /// To what it came from: the default.
    #[arg(long, conflicts_with = "down")]
    up: bool,

    /// To what came from it.
    #[arg(long)]
    down: bool,

    /// At most so many versions.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 1000)]
    most: usize,

    /// One JSON object, with stable field names.
    #[arg(long, conflicts_with = "dot")]
    json: bool,

    /// A graph for Graphviz.
    #[arg(long)]
    dot: bool,

    #[command(flatten)]
    dataset: DatasetArgs,
}

/// Walks and prints.
pub fn run(args: &LineageArgs, context: &Context) -> Result<(), CommandError> {
    let mut dataset = args.dataset.open(context)?;
    let named = args.version.as_deref();
    let from = dataset.find(named.unwrap_or(if dataset.git.is_some() { "HEAD" } else { "latest" }))?;
    let way = if args.down { Way::Down } else { Way::Up };
    let (nodes, more) = walk(&dataset.catalog, from, way, args.most)?;
    if args.json {
        let direction = if args.down { "down" } else { "up" };
        let bundles: Vec<Value> = nodes.iter().map(told).collect();
        let said = json!({ "bundle": from, "direction": direction, "bundles": bundles, "truncated": more });
        context.ui.fact(&serde_json::to_string_pretty(&said).expect("plain values always encode"));
    } else if args.dot {
        context.ui.fact(&graph(&nodes));
    } else {
        nodes.iter().for_each(|node| context.ui.fact(&line(node)));
        if more {
            let (way, most) = (if args.down { " --down" } else { "" }, args.most.saturating_mul(10));
            context.ui.hint(&format!("there are more: git datamon lineage {from}{way} -n {most}"));
        }
    }
    Ok(())
}

/// A version with stable names.
fn told(node: &Node) -> Value {
    let mut told = serde_json::to_value(node).expect("plain values always encode");
    told["time"] = node.time.map(when::utc).into();
    told
}

/// `* id  time  commit  (labels) subject`, indented by the steps it is away.
fn line(node: &Node) -> String {
    let indent = "  ".repeat(node.depth.min(40));
    let Some(time) = node.time else { return format!("{indent}* {} (not in this store)", node.bundle) };
    let labels =
        if node.labels.is_empty() { String::new() } else { format!(" ({})", node.labels.join(", ")) };
    let commit = node.commit.as_deref().map_or("no commit", |it| &it[..10.min(it.len())]);
    format!("{indent}* {}  {}  {commit}{labels} {}", node.bundle, when::utc(time), node.subject)
}

fn graph(nodes: &[Node]) -> String {
    let mut text = String::from("digraph lineage {\n  rankdir=BT;\n  node [shape=box];\n");
    let shown = |id: &BundleId| nodes.iter().any(|node| node.bundle == *id);
    for node in nodes {
        let short = node.commit.as_deref().map_or("", |it| &it[..10.min(it.len())]);
        let words = [&node.labels.join(", "), short, &node.subject, &node.bundle.to_string()].map(quoted);
        let words: Vec<&str> = words.iter().map(String::as_str).filter(|it| !it.is_empty()).collect();
        let style = if node.absent { ", style=dashed" } else { "" };
        // To a String nothing fails.
        let _ = writeln!(text, "  \"{}\" [label=\"{}\"{style}];", node.bundle, words.join("\\n"));
        for parent in node.parents.iter().filter(|it| shown(it)) {
            let _ = writeln!(text, "  \"{}\" -> \"{parent}\";", node.bundle);
        }
    }
    text + "}"
}

/// Inside the quotes of Graphviz.
fn quoted(text: &str) -> String {
    text.chars().filter(|it| !it.is_control()).collect::<String>().replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_cannot_leave_its_quotes() {
        assert_eq!(quoted("a\"]; b [x=\"\\\n\u{1b}"), "a\\\"]; b [x=\\\"\\\\");
    }
}
