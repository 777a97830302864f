//! What documentation and examples say is so: objects are admitted, copies are the files, links lead somewhere, every reason has its entry.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use previewpg_operator::api::{ConditionType, Reason};
use serde_json::Value;

use support::{admission, decode, documents, root};

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every Markdown file that is ours, from the root.
fn pages() -> Vec<String> {
    let mut pages = vec![
        "README.md".to_owned(),
        "CONTRIBUTING.md".to_owned(),
        "charts/previewpg/README.md".to_owned(),
    ];
    for entry in std::fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if Path::new(&name)
            .extension()
            .is_some_and(|extension| extension == "md")
        {
            pages.push(format!("docs/{name}"));
        }
    }
    assert!(pages.len() > 8);
    pages
}

fn examples() -> Vec<PathBuf> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join("examples"), &mut found);
    found.sort();
    assert!(found.len() >= 9);
    found
}

/// The fenced blocks of a language, each with the line before it.
fn blocks(page: &str, language: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let (mut before, mut inside): (&str, Option<String>) = ("", None);
    let mut head = String::new();
    for line in page.lines() {
        match &mut inside {
            Some(_) if line == "```" => found.push((head.clone(), inside.take().unwrap())),
            Some(text) => {
                text.push_str(line);
                text.push('\n');
            }
            None if line == format!("```{language}") => {
                head = before.to_owned();
                inside = Some(String::new());
            }
            None => {}
        }
        before = line;
    }
    found
}

fn admitted(place: &str, object: &Value) {
    let found = admission::refusals(&admission::definition(), None, object);
    assert!(found.is_empty(), "{place}: {found:#?}");
    decode::check(object);
}

#[test]
fn examples_are_admitted() {
    let mut previews = 0;
    for file in examples() {
        let text = std::fs::read_to_string(&file)
            .unwrap()
            .replace("${NUMBER}", "1234");
        for object in documents(&text) {
            let place = file.display().to_string();
            match object["apiVersion"].as_str().unwrap_or_default() {
                "previewpg.dev/v1alpha1" => {
                    previews += 1;
                    admitted(&place, &object);
                }
                "v1" | "apps/v1" | "batch/v1" => decode::check(&object),
                // Other projects' objects, and pipelines: at least they're YAML.
                _ => assert!(object.is_object(), "{place}"),
            }
        }
    }
    assert!(previews >= 4);
}

#[test]
fn previews_in_documentation_are_admitted() {
    let mut previews = 0;
    for page in pages() {
        for (_, block) in blocks(&read(&page), "yaml") {
            if block.contains("kind: PreviewDatabase") && !block.contains("kind: ConfigMap") {
                for object in documents(&block.replace("${NUMBER}", "1234")) {
                    if object["kind"] == "PreviewDatabase" {
                        previews += 1;
                        admitted(&page, &object);
                    }
                }
            }
        }
    }
    assert!(previews >= 2, "only {previews}");
}

/// A block that is a part of something may stand without what it's a part of, but not be broken.
#[test]
fn every_block_of_documentation_can_be_read() {
    let (mut read_ones, mut kinds) = (0, 0);
    for page in pages() {
        let text = read(&page);
        for (_, block) in blocks(&text, "yaml") {
            let block = block
                .replace("${NUMBER}", "1234")
                .replace("${IMAGE}", "shop:1");
            for object in documents(&block) {
                assert!(object.is_object() || object.is_array(), "{page}: {block}");
                read_ones += 1;
                let version = object["apiVersion"].as_str().unwrap_or_default();
                if ["v1", "apps/v1", "batch/v1"].contains(&version) {
                    decode::check(&object);
                    kinds += 1;
                }
            }
        }
        for (_, block) in blocks(&text, "json") {
            let parsed: Result<Value, _> = serde_json::from_str(&block);
            assert!(parsed.is_ok(), "{page}: {block}");
            read_ones += 1;
        }
        for (_, block) in blocks(&text, "sh") {
            let status = std::process::Command::new("bash")
                .args(["-n", "-c", &block])
                .status()
                .expect("bash");
            assert!(status.success(), "{page}: {block}");
            read_ones += 1;
        }
    }
    assert!(read_ones > 25 && kinds >= 3, "only {read_ones}, {kinds}");
}

#[test]
fn copies_of_examples_are_the_files() {
    let mut copies = 0;
    for page in pages() {
        for (head, block) in blocks(&read(&page), "yaml") {
            if let Some(file) = head
                .strip_prefix("<!-- ")
                .and_then(|head| head.strip_suffix(" -->"))
            {
                assert_eq!(block, read(file), "{page} has another {file}");
                copies += 1;
            }
        }
    }
    assert!(copies >= 7, "only {copies}");
}

/// A heading's anchor, as GitHub makes it.
fn anchor(heading: &str) -> String {
    heading
        .trim_start_matches('#')
        .trim()
        .to_lowercase()
        .chars()
        .filter(|each| each.is_alphanumeric() || *each == ' ' || *each == '-' || *each == '_')
        .map(|each| if each == ' ' { '-' } else { each })
        .collect()
}

fn anchors(page: &str) -> BTreeSet<String> {
    page.lines()
        .filter(|line| line.starts_with('#'))
        .map(anchor)
        .collect()
}

#[test]
fn links_lead_somewhere() {
    let mut links = 0;
    for page in pages() {
        let text = read(&page);
        let directory = Path::new(&page).parent().unwrap().to_owned();
        for link in text.split("](").skip(1) {
            let link = link.split(')').next().unwrap();
            if link.starts_with("http") {
                continue;
            }
            let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() {
                PathBuf::from(&page)
            } else {
                directory.join(file)
            };
            let whole = root().join(&target);
            assert!(whole.exists(), "{page}: there is no {link}");
            if !fragment.is_empty() && whole.extension().is_some_and(|extension| extension == "md")
            {
                let text = std::fs::read_to_string(&whole).unwrap();
                assert!(
                    anchors(&text).contains(fragment),
                    "{page}: {link} leads to no heading"
                );
            }
            links += 1;
        }
    }
    assert!(links > 40, "only {links}");
}

#[test]
fn every_page_can_be_reached_from_the_readme() {
    let mut reached = BTreeSet::from(["README.md".to_owned()]);
    let mut open = vec!["README.md".to_owned()];
    while let Some(page) = open.pop() {
        let directory = Path::new(&page).parent().unwrap().to_owned();
        for link in read(&page).split("](").skip(1) {
            let link = link.split([')', '#']).next().unwrap();
            if link.ends_with(".md") && !link.starts_with("http") {
                let file = root().join(&directory).join(link).canonicalize().unwrap();
                let file = file
                    .strip_prefix(root().canonicalize().unwrap())
                    .unwrap()
                    .display()
                    .to_string();
                if reached.insert(file.clone()) {
                    open.push(file);
                }
            }
        }
    }
    for page in pages() {
        assert!(reached.contains(&page), "no link leads to {page}");
    }
}

#[test]
fn every_reason_has_its_entry() {
    let page = read("docs/operations.md");
    let (_, section) = page.split_once("## Every reason, and what to do").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let entries: Vec<(&str, &str)> = section
        .split("\n### ")
        .skip(1)
        .map(|entry| entry.split_once('\n').unwrap())
        .collect();
    for reason in Reason::ALL {
        let entry = entries.iter().find(|(name, _)| *name == reason.as_str());
        let (_, text) =
            entry.unwrap_or_else(|| panic!("docs/operations.md has no entry for {reason}"));
        assert!(text.trim().len() > 25, "{reason}: {text:?}");
    }
    assert_eq!(
        entries.len(),
        Reason::ALL.len(),
        "an entry for a reason that there isn't"
    );
    for condition in ConditionType::ALL {
        assert!(
            page.contains(&format!("`{condition}`")),
            "{condition} isn't explained"
        );
    }
}

#[test]
fn every_alert_has_its_entry() {
    let alerts: Value =
        serde_saphyr::from_str(&read("charts/previewpg/files/alerts.yaml")).unwrap();
    let page = read("docs/operations.md");
    let (_, section) = page.split_once("\n## Alerts").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let alerts = alerts["alerts"].as_array().unwrap();
    for alert in alerts {
        let name = alert["alert"].as_str().unwrap();
        assert!(
            section.contains(&format!("| `{name}` |")),
            "docs/operations.md has no entry for {name}"
        );
    }
    assert_eq!(
        section
            .lines()
            .filter(|line| line.starts_with("| `"))
            .count(),
        alerts.len()
    );
}

/// Pipelines run when and for whom they should.
#[test]
fn pipelines_leave_forks_out_and_clean_up() {
    let github: Value = serde_saphyr::from_str(&read("examples/github/preview.yaml")).unwrap();
    for job in ["preview", "cleanup"] {
        let condition = github["jobs"][job]["if"].as_str().unwrap();
        assert!(
            condition.contains("head.repo.full_name == github.repository"),
            "{job}"
        );
    }
    assert!(
        github["on"]["pull_request"]["types"]
            .as_array()
            .unwrap()
            .contains(&"closed".into())
    );
    assert!(
        github["jobs"]["preview"]["if"]
            .as_str()
            .unwrap()
            .contains("!= 'closed'")
    );
    assert!(
        github["jobs"]["cleanup"]["if"]
            .as_str()
            .unwrap()
            .contains("== 'closed'")
    );

    let gitlab: Value = serde_saphyr::from_str(&read("examples/gitlab/.gitlab-ci.yml")).unwrap();
    let stop = gitlab["preview"]["environment"]["on_stop"]
        .as_str()
        .unwrap();
    assert_eq!(gitlab[stop]["environment"]["action"], "stop");
    assert_eq!(
        gitlab[stop]["environment"]["name"],
        gitlab["preview"]["environment"]["name"]
    );
    for job in ["preview", stop] {
        let rule = gitlab[job]["rules"][0]["if"].as_str().unwrap();
        assert!(
            rule.contains("$CI_MERGE_REQUEST_SOURCE_PROJECT_ID == $CI_PROJECT_ID"),
            "{job}"
        );
    }
}

/// What Argo CD shows goes by reasons that there are.
#[test]
fn argo_cd_knows_our_reasons() {
    let text = read("examples/argocd/health.yaml");
    let mut found = 0;
    for name in text.split("condition.reason == \"").skip(1) {
        let name = name.split('"').next().unwrap();
        assert!(
            Reason::ALL.iter().any(|reason| reason.as_str() == name),
            "{name}"
        );
        found += 1;
    }
    assert!(found >= 3);
}

/// Values of the chart that pages tell to set exist.
#[test]
fn values_in_documentation_exist() {
    let values: Value = serde_saphyr::from_str(&read("charts/previewpg/values.yaml")).unwrap();
    let page = read("docs/install.md");
    let (_, table) = page.split_once("| you want | set |").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let mut found = 0;
    for name in table.split('`').skip(1).step_by(2) {
        let name = name.split(':').next().unwrap();
        let pointer = format!("/{}", name.replace('.', "/"));
        assert!(
            values.pointer(&pointer).is_some(),
            "{name} is no value of the chart"
        );
        found += 1;
    }
    assert!(found >= 10);
}
