//! Guides to what PHP says over FastCGI's standard error. A PHP fatal error alone gives 500, not 502: the process lives on
//! and answers; only a crash, a kill or a timeout is a 502 or 504.

use super::client::ClientSaw;
use super::confirm::{configured, service};
use super::subject::Subject;
use super::{Cause, Guide};
use crate::observation::PhpKind;

pub(super) fn guide(kind: PhpKind, subject: &Subject<'_>) -> Guide {
    match kind {
        PhpKind::MemoryExhausted => fatal(
            subject,
            "The script needed more memory than memory_limit allows, and PHP ended it.",
            &[
                "Find what the script named in the message loads at once (a whole table, a large file).",
                "Raise memory_limit for that pool only: php_admin_value[memory_limit]; times pm.max_children it must fit \
                 into memory.",
            ],
        ),
        PhpKind::TimeExceeded => fatal(
            subject,
            "The script computed for longer than max_execution_time (waiting for files, sockets and databases not counted), \
             and PHP ended it.",
            &[
                "Make the script faster, or move the work to a queue.",
                "Keep max_execution_time < request_terminate_timeout < fastcgi_read_timeout when raising it.",
            ],
        ),
        PhpKind::DependencyUnreachable => Guide {
            meaning: "The application could not reach a database or cache; the message says which.".to_owned(),
            client: ClientSaw::Unknown,
            caveat: Some("500 where the application does not catch it; 504 where it hangs on it".to_owned()),
            first: Some(Cause::DependencyDown),
            fix: vec![
                "Bring that service back, or correct its address and password in the application.".to_owned(),
                "Give the client library a connect timeout below fastcgi_read_timeout: a hanging service fills the pool."
                    .to_owned(),
            ],
            confirm: vec![
                "ss -ltnp | grep -E ':(3306|5432|6379|11211) '".to_owned(),
                "systemctl status mysql mariadb postgresql redis-server memcached".to_owned(),
            ],
        },
        PhpKind::UndefinedSymbol => fatal(
            subject,
            "The script used a function, class or constant that does not exist.",
            &[
                "A missing extension: install it for the PHP version of this pool, and restart FPM.",
                "A half-finished deployment: run composer install (autoloader), and reset opcache.",
            ],
        ),
        PhpKind::ParseError => fatal(
            subject,
            "The script is not valid PHP for the version that runs it.",
            &["Correct the line the message names, or run the version of PHP it is written for (php -l FILE)."],
        ),
        PhpKind::UncaughtException => {
            fatal(subject, "The script threw an exception that nothing caught.", &["Correct the line the message names."])
        }
        PhpKind::FatalOther => fatal(subject, "PHP ended the script.", &["Correct the line the message names."]),
        PhpKind::ScriptNotFound => Guide {
            meaning: "FPM was asked for a script that is not there, as FPM sees it: SCRIPT_FILENAME names no file.".to_owned(),
            client: ClientSaw::Status(404),
            caveat: Some("with the body File not found.".to_owned()),
            first: Some(Cause::NginxMisconfigured),
            fix: vec![
                "fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name; with the right root in that location."
                    .to_owned(),
                "FPM in a container, with chroot, or without search permission on a folder sees another tree than nginx."
                    .to_owned(),
                "Let nginx answer for what is not there: try_files $fastcgi_script_name =404;".to_owned(),
            ],
            confirm: vec![configured("SCRIPT_FILENAME"), configured("root"), "namei -l SCRIPT".to_owned()],
        },
        PhpKind::AccessDenied => Guide {
            meaning: "FPM refused to run the file: its name does not end as security.limit_extensions demands (.php unless \
                      set)."
                .to_owned(),
            client: ClientSaw::Status(403),
            caveat: None,
            first: Some(Cause::NginxMisconfigured),
            fix: vec![
                "Pass only scripts to FPM: location ~ \\.php$ with try_files $fastcgi_script_name =404;".to_owned(),
                "Do not widen security.limit_extensions: uploaded files would run.".to_owned(),
            ],
            confirm: vec![configured("fastcgi_pass"), configured("SCRIPT_FILENAME")],
        },
        PhpKind::Warning => message("A warning of PHP; the script went on."),
        PhpKind::Notice => message("A notice of PHP; the script went on."),
        PhpKind::Deprecated => message("PHP announces that something the script uses will go; the script went on."),
        PhpKind::Application => message("Text the application wrote to its log."),
    }
}

fn fatal(subject: &Subject<'_>, meaning: &str, fix: &[&str]) -> Guide {
    Guide {
        meaning: format!("{meaning} The worker lives on: this alone is no 502."),
        client: ClientSaw::Status(500),
        caveat: Some("200 where display_errors is on or output had begun".to_owned()),
        first: Some(Cause::PhpFatal),
        fix: fix.iter().map(|&line| line.to_owned()).collect(),
        confirm: service(subject),
    }
}

fn message(meaning: &str) -> Guide {
    Guide::harmless(
        format!("{meaning} nginx logs it as an error because it came over FastCGI's standard error. Not a failure."),
        ClientSaw::Unaffected,
    )
}
