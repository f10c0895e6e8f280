//! What operators and external workers ask for.

use super::wire::{put, put_option, take, take_option};
use alloy_rlp::{Error, Result};
use kette_consensus::Command as EngineCommand;
use kette_node::Command;

/// Writes a command.
pub(super) fn put_command(out: &mut Vec<u8>, command: &Command) {
    match command {
        Command::AddPeer(address) => {
            put(out, &0u8);
            put(out, address);
        }
        Command::RemovePeer(peer) => {
            put(out, &1u8);
            put(out, peer);
        }
        Command::Ban(peer, seconds) => {
            put(out, &2u8);
            put(out, peer);
            put(out, seconds);
        }
        Command::Unban(peer) => {
            put(out, &3u8);
            put(out, peer);
        }
        Command::Engine(command) => {
            put(out, &4u8);
            put_engine(out, command);
        }
        Command::Rollback(hash) => {
            put(out, &5u8);
            put(out, hash);
        }
        Command::DropTransaction(hash) => {
            put(out, &6u8);
            put(out, hash);
        }
    }
}

/// Reads a command.
pub(super) fn take_command(buf: &mut &[u8]) -> Result<Command> {
    Ok(match take::<u8>(buf)? {
        0 => Command::AddPeer(take(buf)?),
        1 => Command::RemovePeer(take(buf)?),
        2 => Command::Ban(take(buf)?, take(buf)?),
        3 => Command::Unban(take(buf)?),
        4 => Command::Engine(take_engine(buf)?),
        5 => Command::Rollback(take(buf)?),
        6 => Command::DropTransaction(take(buf)?),
        _ => return Err(Error::Custom("unknown kind of command")),
    })
}

fn put_engine(out: &mut Vec<u8>, command: &EngineCommand) {
    match command {
        EngineCommand::Mining { on, threads } => {
            put(out, &0u8);
            put(out, on);
            put_option(out, *threads);
        }
        EngineCommand::OnDemand(on) => {
            put(out, &1u8);
            put(out, on);
        }
        EngineCommand::MineBlocks(blocks) => {
            put(out, &2u8);
            put(out, blocks);
        }
        EngineCommand::SubmitWork { preimage, nonce } => {
            put(out, &3u8);
            put(out, preimage);
            put(out, nonce);
        }
        EngineCommand::ApproveReorg(hash) => {
            put(out, &4u8);
            put(out, hash);
        }
        EngineCommand::AddTime(seconds) => {
            put(out, &5u8);
            put(out, seconds);
        }
        EngineCommand::NextTimestamp(seconds) => {
            put(out, &6u8);
            put(out, seconds);
        }
    }
}

fn take_engine(buf: &mut &[u8]) -> Result<EngineCommand> {
    Ok(match take::<u8>(buf)? {
        0 => EngineCommand::Mining { on: take(buf)?, threads: take_option(buf)? },
        1 => EngineCommand::OnDemand(take(buf)?),
        2 => EngineCommand::MineBlocks(take(buf)?),
        3 => EngineCommand::SubmitWork { preimage: take(buf)?, nonce: take(buf)? },
        4 => EngineCommand::ApproveReorg(take(buf)?),
        5 => EngineCommand::AddTime(take(buf)?),
        6 => EngineCommand::NextTimestamp(take(buf)?),
        _ => return Err(Error::Custom("unknown kind of engine command")),
    })
}
