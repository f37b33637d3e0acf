//! Choosing processes by where they run.

use glob::Pattern;
use kamap::{Cgroup, Process};

/// The options that choose processes by where they run.
#[derive(Debug, clap::Args)]
pub(crate) struct PlaceArgs {
    /// Show only processes of these systemd units, such as nginx or `ssh*` (separated by commas)
    ///
    /// A unit of the system, or of a user's own systemd. `*`, `?` and `[…]` match as in a shell.
    /// A name without these and without a type is that of a service, as for systemctl.
    #[arg(long, value_name = "UNIT", value_delimiter = ',', value_parser = unit)]
    unit: Vec<Pattern>,

    /// Show only processes in these containers (IDs or beginnings of IDs, separated by commas)
    ///
    /// For systemd-nspawn the name of the machine. `*`, `?` and `[…]` match as in a shell: `'*'` is any
    /// container.
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = container)]
    container: Vec<Container>,
}

/// The container that an option names.
#[derive(Clone, Debug)]
struct Container {
    pattern: Pattern,
    /// The beginning of an ID.
    id: Option<String>,
}

impl PlaceArgs {
    /// Whether there are such options.
    pub(crate) fn is_empty(&self) -> bool {
        self.unit.is_empty() && self.container.is_empty()
    }

    /// Whether they choose this process. One whose place is not known is not chosen.
    pub(crate) fn chooses(&self, process: &Process) -> bool {
        self.is_empty() || process.cgroup().is_some_and(|cgroup| self.has(cgroup))
    }

    fn has(&self, cgroup: &Cgroup) -> bool {
        let has_unit = |unit: Option<&str>| {
            unit.is_some_and(|unit| self.unit.iter().any(|wanted| wanted.matches(unit)))
        };
        let has_container = || {
            cgroup.container().is_some_and(|container| {
                self.container.iter().any(|wanted| wanted.is(&container.id))
            })
        };
        (self.unit.is_empty() || has_unit(cgroup.unit()) || has_unit(cgroup.user_unit()))
            && (self.container.is_empty() || has_container())
    }
}

impl Container {
    fn is(&self, id: &str) -> bool {
        let begins = |begin: &String| is_id(id) && id.starts_with(begin.as_str());
        self.id.as_ref().is_some_and(begins) || self.pattern.matches(id)
    }
}

fn unit(text: &str) -> Result<Pattern, String> {
    let is_glob = text.contains(['*', '?', '[']);
    let has_type = text.rsplit_once('.').is_some_and(|(_, end)| {
        ["service", "scope", "slice", "socket", "mount", "swap"].contains(&end)
    });
    match is_glob || has_type || text.is_empty() {
        true => pattern(text),
        false => pattern(&format!("{text}.service")),
    }
}

fn container(text: &str) -> Result<Container, String> {
    let is_begin = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    Ok(Container {
        pattern: pattern(text)?,
        id: is_begin.then(|| text.to_ascii_lowercase()),
    })
}

fn pattern(text: &str) -> Result<Pattern, String> {
    if text.is_empty() {
        return Err("must not be empty".to_owned());
    }
    Pattern::new(text).map_err(|err| err.to_string())
}

/// Whether it is an ID rather than a name.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        place: PlaceArgs,
    }

    fn chosen(options: &[&str], path: &str) -> bool {
        let line = Line::try_parse_from([&["kamap"], options].concat()).expect("it is right");
        let process = Process::new(7, Duration::ZERO).with_cgroup(Cgroup::new(path));
        line.place.chooses(&process)
    }

    #[test]
    fn units_are_chosen_by_name_and_pattern() {
        let nginx = "/system.slice/nginx.service/sub";
        for name in [
            "nginx",
            "nginx.service",
            "ng*",
            "x,nginx",
            "ngin[xy].service",
        ] {
            assert!(chosen(&["--unit", name], nginx), "{name}");
        }
        for name in ["ngin", "nginx.socket", "*.scope", "sub"] {
            assert!(!chosen(&["--unit", name], nginx), "{name}");
        }
        let of_user = "/user.slice/user-1.slice/user@1.service/app.slice/redis.service";
        for name in ["redis", "user@1.service", "user@1", "user@*"] {
            assert!(chosen(&["--unit", name], of_user), "{name}");
        }
        assert!(!chosen(&["--unit", "*"], "/"));
    }

    #[test]
    fn containers_are_chosen_by_the_beginning_of_their_id() {
        let id = "9687bac58d5c4d1606aa46af33d1a21c1d1652e0ac9fb3fc0fc86e3495f42869";
        let docker = format!("/system.slice/docker-{id}.scope");
        for name in ["9687bac58d5c", "9687BAC5", id, "*", "968*"] {
            assert!(chosen(&["--container", name], &docker), "{name}");
        }
        for name in ["687", "x", "docker"] {
            assert!(!chosen(&["--container", name], &docker), "{name}");
        }
        let machine = "/machine.slice/systemd-nspawn@cafe1.service/payload";
        assert!(chosen(&["--container", "cafe1"], machine));
        assert!(!chosen(&["--container", "cafe"], machine));
        assert!(!chosen(
            &["--container", "*"],
            "/system.slice/docker.service"
        ));
        let scope = format!("docker-{id}.scope");
        assert!(chosen(&["--unit", &scope, "--container", "96"], &docker));
        assert!(!chosen(&["--unit", "x", "--container", "96"], &docker));
    }

    #[test]
    fn a_process_without_a_known_place_is_chosen_by_no_place() {
        let line = |options: &[&str]| Line::try_parse_from([&["kamap"], options].concat());
        let process = Process::new(7, Duration::ZERO);
        let chooses = |options| line(options).expect("it is right").place.chooses(&process);
        assert!(chooses(&[]));
        assert!(!chooses(&["--unit", "*"]));
        assert!(line(&["--unit", ""]).is_err());
        assert!(line(&["--unit", "[a"]).is_err());
    }
}
