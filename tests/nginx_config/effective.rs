//! Values in force, beside what the real nginx does: a read timeout by when its 504 comes, a header buffer by which
//! header is too big, an upstream by whom the error log names.

use std::path::Path;
use std::time::{Duration, Instant};

use nginx_502_exporter::discovery::nginx::{Disk, Options, discover};
use nginx_502_exporter::observation::Protocol;
use nginx_502_exporter::observation::nginx::{NginxConfig as Understood, Pass};

use crate::common::faults::Step::{Close, Hang, ReadRequest, Write};
use crate::common::faults::address::Dead;
use crate::common::faults::{Peer, Wire};
use crate::common::{Lab, Nginx, NginxConfig};

fn understood(nginx: &Nginx) -> Understood {
    let options = Options { conf: Some(nginx.config_file()), ..Options::default() };
    let discovery = discover(&options, &Disk::new(Path::new("/")).expect("no root to open"));
    assert_eq!(discovery.problems, []);
    discovery.config
}

fn pass_of<'a>(config: &'a Understood, location: &str) -> &'a Pass {
    config.passes.iter().find(|pass| &*pass.location == location).expect("the location has a pass")
}

/// Where the value comes from another level, a request takes either much less or much more than the client waits.
#[test]
fn a_location_times_out_when_the_files_say() {
    const OWN: &str = "proxy_read_timeout 900ms;";
    let lab = Lab::new();
    let peer = Peer::tcp(Wire::Http, [ReadRequest, Hang]);
    let to = format!("proxy_pass http://{};", peer.address());
    lab.write("snippets/slow.conf", OWN);
    for (name, of_http) in [("shorter", "300ms"), ("longer", "300s")] {
        let config = NginxConfig {
            name: name.to_owned(),
            http: format!("proxy_read_timeout {of_http};"),
            server: format!(
                "location /http {{ {to} }}
                 location /own {{ {OWN} {to} }}
                 location /included {{ include {0}/snippets/*.conf; {to} }}
                 location /outer {{ {OWN} location /outer/inner {{ {to} }} }}
                 location /if {{ {OWN} if ($arg_x) {{ {to} }} }}",
                lab.root().display()
            ),
            ..NginxConfig::default()
        };
        let nginx = Nginx::start(&lab, &config);
        let understood = understood(&nginx);
        let of_http = if name == "longer" { Duration::from_secs(300) } else { Duration::from_millis(300) };
        assert_eq!(pass_of(&understood, "/http").read_timeout.value, of_http);
        for (location, target) in [
            ("/own", "/own"),
            ("/included", "/included"),
            ("/outer/inner", "/outer/inner"),
            ("/if if ($arg_x)", "/if?x=1"),
        ] {
            let timeout = pass_of(&understood, location).read_timeout.value;
            assert_eq!(timeout, Duration::from_millis(900), "{location}");
            let start = Instant::now();
            assert_eq!(nginx.get(target).status, 504, "{location}");
            assert!(start.elapsed() >= timeout, "{location}: {:?}", start.elapsed());
        }
    }
}

#[test]
fn a_header_is_too_big_when_the_files_say() {
    let lab = Lab::new();
    let answer = |size: usize| {
        let start = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: ";
        format!("{start}{}\r\n\r\n", "x".repeat(size - start.len() - 4)).into_bytes()
    };
    // Just fits, just does not: nginx needs a byte to see that the header has ended.
    for (location, directive, in_http, size) in [
        ("/default", "", "", 4096_usize),
        ("/inherited", "", "proxy_buffer_size 2k;", 2048),
        ("/own", "proxy_buffer_size 8k;", "proxy_buffer_size 2k;", 8192),
    ] {
        let fits = Peer::tcp(Wire::Http, [ReadRequest, Write(answer(size - 200)), Close]);
        let exceeds = Peer::tcp(Wire::Http, [ReadRequest, Write(answer(size + 200)), Close]);
        let config = NginxConfig {
            name: location.trim_start_matches('/').to_owned(),
            http: in_http.to_owned(),
            server: format!(
                "location {location} {{ {directive} proxy_pass http://{}; }} location /exceeds {{ {directive} proxy_pass http://{}; }}",
                fits.address(),
                exceeds.address()
            ),
            ..NginxConfig::default()
        };
        let nginx = Nginx::start(&lab, &config);
        assert_eq!(pass_of(&understood(&nginx), location).buffer_size.value, size as u64, "{location}");
        assert_eq!(nginx.get(location).status, 200, "{location}");
        assert_eq!(nginx.get("/exceeds").status, 502, "{location}");
        assert!(nginx.has_logged("upstream sent too big header"), "{location}");
    }
}

#[test]
fn the_peer_of_a_log_entry_is_found_in_its_upstream() {
    let lab = Lab::new();
    let (tcp, socket, literal) = (Dead::port(), Dead::missing_socket(&lab), Dead::port());
    let config = NginxConfig {
        http: format!(
            "upstream app {{ server {} max_fails=0; }} upstream php {{ server {}; }}",
            tcp.address(),
            socket.address()
        ),
        server: format!(
            "location /app {{ proxy_pass http://app; }}
             location /php {{ fastcgi_pass php; }}
             location /literal {{ proxy_pass http://{}/x/; }}
             location /v6 {{ proxy_pass http://[0:0::0:1]:1; }}",
            literal.address()
        ),
        ..NginxConfig::default()
    };
    let nginx = Nginx::start(&lab, &config);
    let targets = understood(&nginx).targets;
    for (location, upstream, protocol) in [
        ("/app", "app".to_owned(), Protocol::Http),
        ("/php", "php".to_owned(), Protocol::FastCgi),
        ("/literal", literal.address().to_string(), Protocol::Http),
        ("/v6", "[::1]:1".to_owned(), Protocol::Http),
    ] {
        assert_eq!(nginx.get(location).status, 502, "{location}");
        let served = nginx.served();
        let peer = served.iter().rfind(|served| served.uri == location).expect("logged").last_peer().to_owned();
        let found = targets.upstream_of(&peer, Some(protocol)).expect("the peer is known");
        assert_eq!(**found, *upstream, "{location}: {peer}");
        assert_eq!(targets.upstream_of(&peer, None).map(|name| &**name), Some(&*upstream));
    }
    // `no live upstreams` names the group.
    assert_eq!(targets.upstream_of("app", None).map(|name| &**name), Some("app"));
    assert_eq!(targets.upstream_of("203.0.113.1:1", None), None);
}
