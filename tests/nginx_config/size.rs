//! Configurations that are large, or made to be: the work and what is kept stay bounded.

use crate::common::Lab;
use crate::discover_in;

#[test]
fn a_map_of_ten_megabytes_is_passed_over() {
    let lab = Lab::new();
    let entries: String = (0..400_000).map(|n| format!("  /old/page-{n} /new/{n};\n")).collect();
    assert!(entries.len() > 10 << 20);
    lab.write("map.inc", entries);
    lab.write("nginx.conf", "http { map $uri $new { default 127.0.0.1:1; include map.inc; } server { location / { proxy_pass http://$new; } location /x { proxy_pass http://127.0.0.1:2; } } }");
    let discovery = discover_in(lab.root());
    assert_eq!(discovery.problems, []);
    assert_eq!(discovery.config.passes.len(), 2);
    assert!(discovery.config.targets.len() < 100);
}

#[test]
fn files_that_include_each_other_without_end_end() {
    let lab = Lab::new();
    // Each includes the next twice: two to the thirtieth without a limit.
    for n in 0..30 {
        lab.write(&format!("{n}.conf"), format!("include {0}.conf;\ninclude {0}.conf;\n", n + 1));
    }
    lab.write("30.conf", "upstream a { server 127.0.0.1:1; }");
    lab.write("nginx.conf", "http { include 0.conf; server { location / { proxy_pass http://a; } } }");
    let discovery = discover_in(lab.root());
    assert!(
        discovery.problems.iter().any(|problem| problem.what.contains("not all files are read")),
        "{:?}",
        discovery.problems
    );
    assert!(discovery.problems.len() <= 100);
    assert_eq!(discovery.config.passes.len(), 1);
}

#[test]
fn blocks_without_end_and_words_without_end_are_no_stack_and_no_memory() {
    let lab = Lab::new();
    for text in [
        "a {\n".repeat(1 << 20),
        "location / { ".repeat(200_000),
        format!("http {{ server {{ {}", "location / { ".repeat(200_000)),
        "x ".repeat(4 << 20),
        "\"".repeat(4 << 20),
        "{".repeat(4 << 20),
        "}".repeat(4 << 20),
        "\\".repeat(4 << 20),
        "a;\n".repeat(4 << 20),
    ] {
        lab.write("nginx.conf", &text);
        let discovery = discover_in(lab.root());
        assert!(!discovery.problems.is_empty() && discovery.problems.len() <= 100);
    }
}

#[test]
fn thousands_of_servers_are_understood() {
    let lab = Lab::new();
    for n in 0..2000 {
        lab.write(
            &format!("sites/{n}.conf"),
            format!(
                "upstream app{n} {{ server 10.0.{}.{}:8080; server unix:/run/app{n}.sock backup; }}
                 server {{ server_name s{n}.test; access_log logs/{n}.log; include php; location / {{ proxy_read_timeout {}s; proxy_pass http://app{n}; }} }}",
                n / 256,
                n % 256,
                n + 1
            ),
        );
    }
    lab.write("php", "location ~ \\.php$ { fastcgi_pass unix:/run/php.sock; fastcgi_read_timeout 5m; }");
    lab.write("nginx.conf", "http { include sites/*.conf; }");
    let start = std::time::Instant::now();
    let discovery = discover_in(lab.root());
    // For people: what it costs is measured where it is released.
    println!("2,000 servers of 2,000 files in {:?}", start.elapsed());
    let config = &discovery.config;
    assert_eq!(discovery.problems, []);
    assert_eq!((config.servers.len(), config.passes.len(), config.targets.len()), (2000, 4000, 2001));
    assert_eq!(config.access_logs.len(), 2000);
    let owner = config.targets.upstream_of("10.0.7.207:8080", None).expect("known");
    assert_eq!(&**owner, "app1999");
}
