//! Tests of the whole program and of the repository itself.

mod harness;

mod both_hosts;
mod cli;
mod clients;
mod crash;
mod damage;
mod generate;
mod import;
mod in_process;
mod join;
mod net_json;
mod net_load;
mod net_run;
mod net_test;
mod net_verbs;
mod net_words;
mod network;
mod network_contract;
mod observe;
mod pages;
mod partition;
mod recording;
mod restart;
mod rogue;
mod shaped;
mod sim_cli;
mod store_contract;
mod validators;
mod vote_crashes;
mod watch;
mod wire;

mod tidy;
