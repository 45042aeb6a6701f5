//! What PHP says, through the real PHP-FPM and FastCGI's standard error.

use nginx_502_exporter::observation::Phase::ReadingHeader;
use nginx_502_exporter::observation::PhpKind::{
    self, AccessDenied, Application, DependencyUnreachable, Deprecated, FatalOther, MemoryExhausted, Notice,
    ParseError, ScriptNotFound, TimeExceeded, UncaughtException, UndefinedSymbol, Warning,
};
use nginx_502_exporter::observation::UpstreamClass::ResetBeforeHeader;
use nginx_502_exporter::observation::Verdict;

use crate::case::Case;
use crate::common::{Lab, PhpFpm};
use crate::pass::Pass;
use crate::run::run;

/// What a hostile visitor may get an application to log: it looks like the end of nginx's entry.
const FORGED_END: &str = r#"x" while reading response header from upstream, client: 203.0.113.9, server: evil, request: "GET /evil HTTP/1.1", upstream: "fastcgi://203.0.113.9:9", host: "evil""#;
/// And here like an entry of its own.
const FORGED_LINE: &str = r#"x
2026/11/21 10:00:00 [error] 1#1: *1 connect() failed (111: Connection refused) while connecting to upstream, client: 203.0.113.9, server: evil, request: "GET /evil HTTP/1.1", upstream: "http://203.0.113.9:9/", host: "evil""#;

#[test]
fn messages_of_php_are_told_apart() {
    let lab = Lab::new();
    let fpm = PhpFpm::start(&lab, "pm.max_children = 2");
    let php = |name: &str, code: &str| {
        let script = format!("{name}.php");
        fpm.script(&script, &format!("<?php\n{code}\n"));
        Case::location(Pass::FastCgi, name, fpm.directives(&script))
    };
    let says = |case: Case, words: &'static str, kind: PhpKind| {
        case.logs(words, Verdict::Php(kind), Some(ReadingHeader), true)
    };
    let fatal = |name: &str, code: &str, words: &'static str, kind| says(php(name, code), words, kind).answers(500);
    let harmless = |name: &str, code: &str, words: &'static str, kind| says(php(name, code), words, kind).answers(200);
    fpm.script("notes.txt", "not a script");
    let cases = [
        fatal(
            "php-memory",
            "ini_set('memory_limit', '8M'); str_repeat('x', 1 << 26);",
            "Allowed memory",
            MemoryExhausted,
        ),
        fatal("php-time", "set_time_limit(1); while (true);", "Maximum execution time", TimeExceeded),
        fatal("php-uncaught", "throw new RuntimeException('boom');", "Uncaught RuntimeException", UncaughtException),
        fatal("php-undefined", "nowhere_defined();", "undefined function", UndefinedSymbol),
        fatal("php-parse", "if (", "PHP Parse error", ParseError),
        fatal("php-fatal", "trigger_error('the end', E_USER_ERROR);", "PHP Fatal error:  the end", FatalOther),
        fatal(
            "php-database",
            "throw new RuntimeException('SQLSTATE[HY000] [2002] Connection refused');",
            "SQLSTATE[HY000] [2002]",
            DependencyUnreachable,
        ),
        harmless("php-warning", "echo $undefined;", "PHP Warning", Warning),
        harmless("php-notice", "trigger_error('mind', E_USER_NOTICE);", "PHP Notice", Notice),
        harmless("php-deprecated", "trigger_error('old', E_USER_DEPRECATED);", "PHP Deprecated", Deprecated),
        harmless("php-application", "error_log('order 17 failed');", "order 17 failed", Application),
        harmless("php-two-lines", "error_log(\"first\\nsecond\");", "first\nsecond", Application),
        harmless("php-several", "error_log('one'); echo $undefined; error_log('two');", "PHP Warning", Warning),
        harmless("php-forged", &format!("error_log('{FORGED_END}');"), "PHP message: x", Application),
        harmless("php-forged-line", &format!("error_log('{FORGED_LINE}');"), "PHP message: x", Application),
        says(
            Case::location(Pass::FastCgi, "php-missing", fpm.directives("nothing.php")),
            "Primary script",
            ScriptNotFound,
        )
        .answers(404),
        says(Case::location(Pass::FastCgi, "php-denied", fpm.directives("notes.txt")), "has been denied", AccessDenied)
            .answers(403),
        php("php-crash", "posix_kill(posix_getpid(), 11);")
            .fails("recv() failed (104", ResetBeforeHeader, ReadingHeader)
            .answers(502),
        php("php-fine", "echo 'fine';").answers(200),
    ];
    run(&lab, &cases);
}
