//! The reference page of commands, generated from their `--help`.

use std::fmt::Write;
use std::process::Command;

use super::hold;

/// The help text of a command.
struct Help {
    about: String,
    usage: String,
    commands: Vec<String>,
    /// Names and descriptions of the arguments.
    arguments: Vec<(String, String)>,
    options: Vec<(String, String)>,
}

/// Parses the output of `kiln COMMAND -h`, in which every entry has one line.
fn help(command: &[String]) -> Help {
    let output = Command::new(env!("CARGO_BIN_EXE_kiln")).args(command).arg("-h").output().unwrap();
    assert!(output.status.success(), "kiln {} -h", command.join(" "));
    parsed(&String::from_utf8(output.stdout).unwrap())
}

fn parsed(text: &str) -> Help {
    let mut lines = text.lines();
    let about = lines.by_ref().take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    let mut found = Help {
        about,
        usage: String::new(),
        commands: Vec::new(),
        arguments: Vec::new(),
        options: Vec::new(),
    };
    let mut section = "";
    for line in lines {
        if let Some(usage) = line.strip_prefix("Usage: ") {
            usage.clone_into(&mut found.usage);
        } else if line.ends_with(':') && !line.starts_with(' ') {
            section = line;
        } else if !line.trim().is_empty() {
            let (name, text) = line.trim().split_once("  ").unwrap_or((line.trim(), ""));
            let entry = (name.to_owned(), text.trim().to_owned());
            match section {
                "Commands:" => found.commands.push(entry.0),
                "Arguments:" => found.arguments.push(entry),
                "Options:" => found.options.push(entry),
                _ => panic!("unknown part of a help text: {line}"),
            }
        }
    }
    found
}

fn table(page: &mut String, heading: &str, entries: &[(String, String)]) {
    if entries.is_empty() {
        return;
    }
    let _ = writeln!(page, "\n| {heading} | |\n|---|---|");
    for (name, text) in entries {
        let _ = writeln!(page, "| `{name}` | {} |", text.replace('|', "\\|"));
    }
}

/// Writes the section of a command, and the sections of its subcommands.
fn section(page: &mut String, command: &[String], common: &[(String, String)]) {
    let found = help(command);
    let _ = write!(page, "\n## kiln {}\n\n{}.\n", command.join(" "), found.about);
    let own: Vec<_> = found.options.iter().filter(|option| !common.contains(option)).cloned().collect();
    let inner: Vec<&String> = found.commands.iter().filter(|name| *name != "help").collect();
    if inner.is_empty() {
        let _ = write!(page, "\n```text\n{}\n```\n", found.usage);
    }
    table(page, "argument", &found.arguments);
    table(page, "option", &own);
    for name in inner {
        section(page, &[command, std::slice::from_ref(name)].concat(), common);
    }
}

#[test]
fn the_page_of_commands_is_what_the_commands_say() {
    let all = help(&[]);
    let common = all.options;
    let mut page = String::from(
        "# Commands\n\nThis page is written from `kiln COMMAND --help`. RUN is a run folder or the name of a \
         study.\n\n\
         ## Options of every command\n",
    );
    table(&mut page, "option", &common);
    for name in all.commands.iter().filter(|name| *name != "help") {
        section(&mut page, std::slice::from_ref(name), &common);
    }
    for command in ["kiln search", "kiln hw fit", "kiln bench nasbench201", "`--strict`"] {
        assert!(page.contains(command), "{command}");
    }
    hold("reference/commands.md", &page);
}

#[test]
fn help_texts_are_taken_apart() {
    let found = parsed(
        "Does it\n\nUsage: kiln it [OPTIONS] <FILE>\n\nArguments:\n  <FILE>  A file\n\nOptions:\n      \
         --out <DIR>  Where to\n  -h, --help       Print help\n",
    );
    assert_eq!((found.about.as_str(), found.usage.as_str()), ("Does it", "kiln it [OPTIONS] <FILE>"));
    assert_eq!(found.arguments, [("<FILE>".to_owned(), "A file".to_owned())]);
    assert_eq!(found.options[0], ("--out <DIR>".to_owned(), "Where to".to_owned()));
    assert_eq!(found.options.len(), 2);
}
