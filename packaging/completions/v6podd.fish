complete -c v6podd -l config -d 'The configuration file' -r -F
complete -c v6podd -l log -d 'What to log: error, warn, info, debug, trace, or a filter such as "v6podd::network=debug"' -r
complete -c v6podd -l check-config -d 'Check the configuration, say what is wrong with it, and end'
complete -c v6podd -l cleanup -d 'Remove everything that v6podd made on this host, and end: what `v6pod cleanup --all` runs'
complete -c v6podd -l dry-run -d 'With --cleanup: say what would be done, and do nothing'
complete -c v6podd -l purge -d 'With --cleanup: also remove the audit'
complete -c v6podd -s h -l help -d 'Print help (see more with \'--help\')'
complete -c v6podd -s V -l version -d 'Print version'
