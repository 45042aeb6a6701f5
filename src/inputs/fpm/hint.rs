//! What to do about a status page that cannot be read.

use super::Target;
use crate::observation::fpm::StatusReason;

/// The hint for one reason and one pool.
pub(super) fn hint(reason: StatusReason, target: &Target) -> String {
    let place = target.place.as_ref().map(|place| format!(" ({place})")).unwrap_or_default();
    let pool = &target.pool;
    // Of the page, which may have a listener of its own.
    let peer = target.page.as_ref().map_or_else(|| target.peer.to_string(), |page| page.address.to_string());
    let path = target.page.as_ref().map_or("/status", |page| &page.path);
    match reason {
        StatusReason::NotConfigured => format!(
            "Add `pm.status_path = /status` to pool {pool}{place}, better with \
             `pm.status_listen = /run/php/$pool-status.sock`, and reload FPM."
        ),
        StatusReason::Saturated => format!(
            "Every worker of {pool} is busy; the kernel's numbers tell more now. `pm.status_listen`{place} answers even then."
        ),
        StatusReason::Refused => {
            format!("Nobody listens on {peer}{place}: start PHP-FPM; `php-fpm -t` says if it cannot.")
        }
        StatusReason::SocketMissing => {
            format!("The socket of {pool}{place} is not there: start PHP-FPM, or mount its folder into this container.")
        }
        StatusReason::Permission => format!(
            "Let this process use the socket of {pool}: add its user to the group of `listen.group`{place}, or name it in \
             `listen.acl_users`; then restart the exporter."
        ),
        StatusReason::BacklogFull => {
            format!(
                "The queue of {pool} is full: nginx answers 502 now. More workers or a larger `listen.backlog`{place}."
            )
        }
        StatusReason::Unreachable => {
            format!("The host of {peer}{place} cannot be reached from here: check name and route.")
        }
        StatusReason::Timeout => format!(
            "All workers of {pool} are busy, or the process is stopped: `pm.status_listen`{place} answers while workers are \
             busy."
        ),
        StatusReason::Closed => format!(
            "Pool {pool}{place} closed the connection: over TCP, add this address to `listen.allowed_clients`; otherwise \
             look for crashed workers in FPM's log."
        ),
        StatusReason::AccessDenied | StatusReason::FileNotFound | StatusReason::Empty404 => format!(
            "Pool {pool} does not know {path} as its `pm.status_path`{place}: it was set after FPM loaded its \
             configuration, or another FPM listens there. Reload FPM."
        ),
        StatusReason::Busy => "FPM's scoreboard was locked twice in a row: nothing to do if it passes.".to_owned(),
        StatusReason::InternalError => "FPM cannot read its own scoreboard: see its log, and restart it.".to_owned(),
        StatusReason::BadReply => format!("What answers on {peer}{place} is not FPM's status page: is the port right?"),
        StatusReason::TooLarge => format!("What answers on {peer}{place} sent more than any status page holds."),
        StatusReason::Io => "An error of the operating system, see the detail.".to_owned(),
    }
}
