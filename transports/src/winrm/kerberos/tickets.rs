//! What the domain has given for a session's logins, so that it is not asked for each of its connections.
//!
//! ```text
//!   none --asked, once at a time--> held, with the tickets for guests in it --nearly over, another password, not taken--> none
//! ```
//!
//! - With a password they are kept in this process's memory, and nowhere else. Without one they are the node's own: its cache of
//!   tickets, or its keytab for clients (`default_client_keytab_name`), by which the library gets them.
//! - The library waits for the network, so whatever may ask the domain is done on a thread that may wait. A session has one such
//!   thread: who stops waiting leaves it behind, and the next one waits until that has its answer.

use std::sync::Arc;
use std::time::Duration;

use libgssapi::context::{ClientCtx, CtxFlags};
use libgssapi::credential::{Cred, CredUsage};
use libgssapi::error::Error;
use libgssapi::name::Name;
use libgssapi::oid::{GSS_MECH_KRB5, GSS_NT_KRB5_PRINCIPAL, OidSet};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::trouble::Trouble;
use crate::Secret;

/// How long the node's own tickets are used without another look, for they may be exchanged.
const LOOK: Duration = Duration::from_secs(60);

/// The tickets of a session.
#[derive(Default)]
pub(in crate::winrm) struct Tickets {
    held: Arc<Mutex<Option<Held>>>,
}

struct Held {
    user: String,
    password: Option<Secret>,
    cred: Cred,
    until: Instant,
}

impl Tickets {
    /// Begins a login to a service as a user, by their password or by what the node has; answers the token that shows a ticket.
    pub(super) async fn show(
        &self,
        user: &str,
        password: Option<&Secret>,
        service: &str,
        binding: Option<&[u8]>,
    ) -> Result<(ClientCtx, Vec<u8>), Trouble> {
        let mut held = Arc::clone(&self.held).lock_owned().await;
        let (user, password) = (user.to_owned(), password.cloned());
        let (service, binding) = (service.to_owned(), binding.map(<[u8]>::to_vec));
        let asking = spawn_blocking(move || {
            let cred = cred(&mut held, user, password)?;
            begin(cred, &service, binding.as_deref())
        });
        // Errors have their words on the thread that met them only.
        let asked = asking.await.map(|asked| asked.map_err(|Told(trouble)| trouble));
        asked.unwrap_or_else(|_| Err(Trouble::Failed("the library for Kerberos has crashed".into())))
    }

    /// Forgets what there is, for it was not taken.
    pub(super) async fn forget(&self) {
        *self.held.lock().await = None;
    }
}

/// An error that has been put into words.
struct Told(Trouble);

impl From<Error> for Told {
    fn from(error: Error) -> Self {
        Self(Trouble::of(error))
    }
}

/// What is held for the user, or asked for now.
fn cred(held: &mut Option<Held>, user: String, password: Option<Secret>) -> Result<Cred, Told> {
    if let Some(held) = held
        && held.user == user
        && held.password == password
        && Instant::now() < held.until
    {
        return Ok(held.cred.clone());
    }
    *held = None;
    let (cred, lifetime) = match &password {
        Some(password) => acquire(&user, Some(password))?,
        None => acquire(&user, None).map_err(|error| Told(Trouble::of_node(error)))?,
    };
    let most = lifetime / 10 * 9;
    let until = Instant::now() + if password.is_none() { most.min(LOOK) } else { most };
    *held = Some(Held { user, password, cred: cred.clone(), until });
    Ok(cred)
}

fn acquire(user: &str, password: Option<&Secret>) -> Result<(Cred, Duration), Error> {
    let name = Name::new(user.as_bytes(), Some(GSS_NT_KRB5_PRINCIPAL))?;
    let mechanisms = OidSet::singleton(GSS_MECH_KRB5)?;
    let (name, mechanisms, usage) = (Some(&name), Some(&mechanisms), CredUsage::Initiate);
    let cred = match password {
        Some(password) => Cred::acquire_with_password(name, password.expose(), None, usage, mechanisms)?,
        None => Cred::acquire(name, None, usage, mechanisms)?,
    };
    // The library may put off asking until somebody wants to know this.
    let lifetime = cred.lifetime()?;
    Ok((cred, lifetime))
}

/// Asks the domain for a ticket for the service, unless it is there already, and makes the token that shows it.
fn begin(cred: Cred, service: &str, binding: Option<&[u8]>) -> Result<(ClientCtx, Vec<u8>), Told> {
    let service = Name::new(service.as_bytes(), Some(GSS_NT_KRB5_PRINCIPAL))?;
    let flags = CtxFlags::GSS_C_MUTUAL_FLAG
        | CtxFlags::GSS_C_REPLAY_FLAG
        | CtxFlags::GSS_C_SEQUENCE_FLAG
        | CtxFlags::GSS_C_CONF_FLAG
        | CtxFlags::GSS_C_INTEG_FLAG;
    let mut context = ClientCtx::new(Some(cred), service, flags, Some(GSS_MECH_KRB5));
    let token = context.step(None, binding)?;
    Ok((context, token.map(|token| token.to_vec()).unwrap_or_default()))
}
