//! `infranetes completion`.

use std::process::ExitCode;

use clap::{Args, CommandFactory, ValueEnum};

use super::{Cli, output};

/// Which shell.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  infranetes completion bash > /etc/bash_completion.d/infranetes
  infranetes completion zsh > \"${fpath[1]}/_infranetes\"
  infranetes completion fish > ~/.config/fish/completions/infranetes.fish")]
pub struct CompletionArgs {
    /// The shell to write the script for.
    #[arg(value_enum)]
    shell: Shell,
}

/// The shells that there are scripts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// GNU bash.
    Bash,
    /// Z shell.
    Zsh,
    /// fish.
    Fish,
}

pub(super) fn run(args: &CompletionArgs) -> anyhow::Result<ExitCode> {
    output::bytes(&script(args.shell))?;
    Ok(ExitCode::SUCCESS)
}

fn script(shell: Shell) -> Vec<u8> {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut <Cli as CommandFactory>::command(), "infranetes", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_gets_a_script_that_knows_the_commands() {
        for shell in Shell::value_variants() {
            let script = String::from_utf8(script(*shell)).unwrap();
            assert!(script.contains("console") && script.contains("import"), "{shell:?}");
        }
    }
}
