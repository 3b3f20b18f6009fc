//! Everything the Linux kernel must hold so that a packet crosses the WAN encrypted under its own header.
//!
//! # Use
//! A caller says what it wants as a [`Desired`]: one [`Plane`] per group and protected interface, each with a [`Gate`].
//! [`Kernel::apply`] reads what the kernel holds ([`Installed`]), plans the difference ([`plan`], pure) and executes it.
//! Start, rekey, repair and stop are this same call; the second time it does nothing. It is cheap enough for every few
//! seconds and should be called then: it repairs what people, expiry, a clock that was set and interfaces that went down have undone.
//! [`Monitor`] tells when to call it sooner. [`preflight`] says what the machine lacks. [`Kernel::counters`] is for people. [`Installed::protecting`] tells what a
//! killed agent left behind; whoever wants to keep that simply does not apply anything until the new keys are there.
//! [`Kernel::shorten`] bounds what an agent leaves that ends and may not come back; [`Kernel::restore`] takes that back.
//!
//! # How a packet travels
//! Every plane has a [`Slot`] and with it two addresses of each family that exist only inside this router, VI and VO
//! ([`Anchors`]: 192.0.0.84 and up, 100::848:0 and up, or others), and a reqid (84800 and up).
//! * **Out.** An XFRM policy per entry of the access list, limited to the interface, encrypts towards VO with a
//!   tunnel-mode state that is named by its SPI. In the output hook nftables copies the inner addresses over the outer
//!   ones, which works because ESP is framed there but encrypted later, by esp4_offload. Packets that may be fragmented
//!   and are too long for that path have their addresses put aside before encryption.
//! * **In.** nftables gives ESP with one of our SPIs the destination VI, where the inbound state decrypts it. The inner
//!   packet is routed as usual.
//! * **Never in clear.** After everything else nftables drops what leaves or enters the interface in clear although an
//!   entry names it: by its addresses, by those before NAT, and by those that an ICMP error quotes. Policies without a
//!   sending state block; those of a closed gate block everything that no list on the interface names. Both stay when the
//!   agent dies.
//! * The first entry of a list that matches decides. It is judged source to destination in both directions, so access
//!   lists are symmetric. Local deny entries come before the group's. nftables has the same lists, a rule for each entry.
//!   An ICMP error about protected traffic goes through the tunnel (forwarded ones since Linux
//!   6.9, before that they are dropped).
//! * **Multicast.** Forwarded IPv4 multicast is looked up by the kernel from the router's own address, so its policies
//!   have any source. Forwarded IPv6 multicast is encrypted only when its multicast route leads to the plane's XFRM
//!   interface, `gdoi` and the number of the slot; past it the guard drops it. Its state has a VO of its own (100::848:100
//!   and up), because with a shared key it has the SPI of the unicast state.
//! * **Too big.** What the core says about ESP of ours is handed to this router, for a raw ICMP socket of the agent.
//!
//! # What is ours
//! States to an anchor address; policies with an index in 0x84800000/12; routes to an anchor with protocol 148; XFRM
//! interfaces `gdoiN` with the plane's reqid as `if_id`; table `inet gdoi`, sealed with a digest so that any change by
//! hand is noticed, and `netdev gdoi` likewise while there is a flowtable. Nothing else is ever touched, but for flows of
//! connection tracking that began before they were protected. A policy of somebody else can have the selector of one of ours and is
//! another policy; where it comes before ours, [`Report::problems`] names it and [`Report::displaced`] says whose traffic it
//! takes. What others accept by their own tunnels is theirs: our policies of reception come after all others.
//!
//! # Links
//! A plane protects the links of its name, and those that had it while this process ran ([`Kept`]): nftables knows them by
//! their index, too, so that a link that gets another name is not open for a moment. A name that ends with `*` is that of
//! all links that begin so; they share the plane, its anchors and its states.
//!
//! A link may be in a VRF, and then the anchors have routes in its table, too; what was decrypted is routed by that.
//!
//! # What the operator must know
//! * Filters of others must accept ESP (protocol 50) on the protected interface, in hooks prerouting, input and output, and
//!   what was decrypted. [`Obstacles`] tells which one does not, from each [`Kernel::reading`].
//! * Packets without DF that are too long lose their packet mark and priority when they are encrypted; without
//!   esp4_offload all encrypted packets do.
//! * The route of an encrypted packet is looked up once more, as if the router itself had sent it: routing rules by
//!   incoming interface do not apply to it.
//! * At most 6 planes can share an entry, 42 can exist. A range of ports takes up to 30 policies, ranges on both sides
//!   multiply; an entry that would take more than 256 is refused.
//! * IPv6 needs esp6_offload; without it protected IPv6 is blocked.
//! * The router's own IPv6 with a priority (`SO_PRIORITY`) above 15 has a hop limit of 63 or 64 when it leaves by a protected
//!   interface.
//! * While nftables' table is gone, policies hold all but forwarded IPv6 multicast, the router's own IPv6, and new flows that
//!   an operator's NAT gives an address that no entry names.
//! * A closed gate's local list is asked before and after NAT.
//! * Deny entries for some sources or protocols do not take forwarded IPv4 multicast out of what is encrypted.
//! * A daemon that removes routes of unknown origin (systemd-networkd with `ManageForeignRoutes=yes`) or another
//!   service that flushes all of nftables stops protected traffic, in safety, until the next `apply`.
//! * The table is listed by the program nft, at a cost that grows with the lists, only when [`Kernel::apply`] has been told
//!   that it was changed; transactions of others cost nothing. nft is ended when it does not get on for ten seconds.
//!
//! # Senders with keys of their own
//! A counter-mode key has one sender, and a group may have thousands. So inbound states exist only for those that were
//! heard. Their SPIs are the elements of a set in the plane's table; ESP from other SPIs of the plane's [`SpiBlock`]s
//! waits in the [`Queue`] until the agent, which has the group's key, says whether it is authentic. If it is,
//! [`Kernel::admit`] adds the state and lets the sender into the set, and the packet goes on: nothing is lost. The agent
//! desires the SA from then on. Without an agent known senders go on and others are dropped.
//!
//! A sending state that somebody removed is not added again, because it would count from 1: [`Report::spent`] names it
//! and the member needs new sender identifiers.

mod attributes;
mod carriers;
mod closing;
mod counters;
mod error;
mod flows;
mod installed;
mod kernel;
mod message;
mod model;
mod monitor;
mod netfilter;
mod nft;
mod object;
mod obstacles;
mod plan;
mod preflight;
mod queue;
mod route;
mod settings;
mod socket;
mod target;
mod used;

pub use closing::{close, Closing};
pub use counters::{Count, Counters, PlaneCounters, StateCounters, Stations};
pub use error::Error;
pub use installed::{Installed, Protecting};
pub use kernel::{Admission, Interface, Kernel, Report, Shortened};
pub use model::{
    is_named, Ace, Action, Aead, Anchors, Cipher, Desired, EspKeys, Family, Gate, Integrity, Kept, Lane,
    Mode, PathMtu, Plane, Ports, Prefix, Protection, Replay, Sa, Secret, Selector, SenderKey, SharedKeys,
    Side, Slot, Spi, SpiBlock, Transform,
};
pub use monitor::{Monitor, Subject};
pub use nft::Patience;
pub use object::Direction;
pub use obstacles::{Finding, Obstacle, Obstacles, Reading};
pub use plan::{plan, Op, Plan};
pub use preflight::{preflight, Problem, Uses};
pub use queue::{PacketId, Queue, Unknown};
pub use settings::LinkSettings;
