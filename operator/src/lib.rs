//! PreviewPG's Kubernetes operator: `PreviewDatabase` objects become databases.
//!
//! | module | job |
//! |---|---|
//! | [`api`] | the resource, as users write it and as its status tells |
//! | [`crd`], [`mod@reference`] | the definition as a file, and the reference that is made from it |
//! | [`validate`] | the raw spec and what it refers to → a valid preview, or what's wrong; pure |
//! | [`build`] | a valid preview → its children as typed objects; pure |
//! | [`plan`] | which work on a database is to begin; pure |
//! | [`judge`], [`report`] | what was seen → conditions → status and events; pure |
//! | [`generated`], [`certificate`] | passwords and certificates: read back, or made |
//! | [`database`], [`jobs`] | work on databases, by the proxy crate's own code, beside reconciling |
//! | [`secrets`], [`children`], [`apply`], [`tell`] | what is read from and written to the API server |
//! | [`reconcile`](mod@reconcile), [`cleanup`](mod@cleanup) | the steps in their order; the end of an object |
//! | [`controller`], [`leader`], [`run`](mod@run) | watches, the Lease, the process |
//! | [`probe`] | asks a port of the admin pages, for the chart's test |
//!
//! # The order of things
//! One reconciliation resolves references, validates, builds all children, applies those that the database needs, starts or asks for the work on
//! the database, applies those that serve it, and reports. It never waits for a database. The children that serve are applied when the database has
//! been brought up once; from then on they stay, whatever becomes of production.
//!
//! # What can't be watched
//! Secrets: the operator may neither list nor watch them. Those that a spec names, and the preview's own, are read again at every `sync.interval`,
//! every few seconds while the preview isn't ready, and at once when the object's spec or annotations change.
//!
//! # Calls
//! All that the operator asks of the API server, for whoever writes its rights:
//!
//! | resource | verbs | for |
//! |---|---|---|
//! | `previewdatabases.previewpg.dev` | list, watch | reconciling |
//! | | patch | the finalizer |
//! | | delete | objects whose time is over |
//! | `previewdatabases/status` | patch | the status, by server-side apply |
//! | `previewdatabases/finalizers` | update | `blockOwnerDeletion` in children, where OwnerReferencesPermissionEnforcement is on |
//! | `secrets` | get | what specs refer to, and the previews' own |
//! | | list, watch | with `--watch-secrets` only: names and versions of all, to read again what has changed |
//! | | create, patch | the previews' own, by server-side apply |
//! | | delete | an access Secret whose name has changed |
//! | `configmaps` | get, list, watch, create, patch, delete | children; certificates that specs refer to |
//! | `services`, `deployments.apps`, `statefulsets.apps`, `networkpolicies.networking.k8s.io`, `poddisruptionbudgets.policy` | get, list, watch, create, patch, delete | children |
//! | `persistentvolumeclaims` | patch | a volume that's to be larger |
//! | `events.events.k8s.io` | create, patch | what happened |
//! | `leases.coordination.k8s.io`, in the operator's own namespace | get, create, update | leader election |

pub mod api;
pub mod apply;
pub mod build;
pub mod certificate;
pub mod children;
pub mod cleanup;
pub mod cli;
pub mod context;
pub mod controller;
pub mod crd;
pub mod database;
pub mod error;
pub mod generated;
pub mod jobs;
pub mod judge;
pub mod leader;
pub mod metrics;
pub mod plan;
pub mod probe;
pub mod reconcile;
pub mod reference;
pub mod report;
pub mod run;
#[cfg(test)]
mod scripted;
pub mod secrets;
pub mod tell;
pub mod validate;
pub mod versions;
