# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_v6pod_global_optspecs
    string join \n json socket= h/help V/version
end

function __fish_v6pod_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_v6pod_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_v6pod_using_subcommand
    set -l cmd (__fish_v6pod_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c v6pod -n "__fish_v6pod_needs_command" -l socket -d 'The daemon\'s socket [default: $V6POD_SOCKET, or /run/v6pod/v6pod.sock]' -r -F
complete -c v6pod -n "__fish_v6pod_needs_command" -l json -d 'Print JSON'
complete -c v6pod -n "__fish_v6pod_needs_command" -s h -l help -d 'Print help'
complete -c v6pod -n "__fish_v6pod_needs_command" -s V -l version -d 'Print version'
complete -c v6pod -n "__fish_v6pod_needs_command" -f -a "list" -d 'List your attachments (as an administrator: everyone\'s)'
complete -c v6pod -n "__fish_v6pod_needs_command" -f -a "ls" -d 'List your attachments (as an administrator: everyone\'s)'
complete -c v6pod -n "__fish_v6pod_needs_command" -f -a "show" -d 'Show everything about one attachment'
complete -c v6pod -n "__fish_v6pod_needs_command" -f -a "watch" -d 'Print the attachments there are, then every change as it happens'
complete -c v6pod -n "__fish_v6pod_needs_command" -f -a "status" -d 'Show the daemon, its networks and its registries'
complete -c v6pod -n "__fish_v6pod_needs_command" -f -a "history" -d 'Show who had which address when (as an administrator: everyone\'s)'
complete -c v6pod -n "__fish_v6pod_needs_command" -f -a "attach" -d 'Attach a network namespace'
complete -c v6pod -n "__fish_v6pod_needs_command" -f -a "detach" -d 'End an attachment'
complete -c v6pod -n "__fish_v6pod_needs_command" -f -a "expose" -d 'Open these ports besides those opened before; the first expose closes all others'
complete -c v6pod -n "__fish_v6pod_needs_command" -f -a "close" -d 'Close ports of an attachment, or all of it'
complete -c v6pod -n "__fish_v6pod_needs_command" -f -a "check" -d 'Compare an attachment with the kernel and the registries'
complete -c v6pod -n "__fish_v6pod_needs_command" -f -a "can-i" -d 'Tell whether you may attach, which rule says so, and what is left of your quota'
complete -c v6pod -n "__fish_v6pod_needs_command" -f -a "setup" -d 'Write the few lines of configuration that an engine needs to use v6pod'
complete -c v6pod -n "__fish_v6pod_needs_command" -f -a "cleanup" -d 'Put this host back as it was before v6podd was first started (for root)'
complete -c v6pod -n "__fish_v6pod_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c v6pod -n "__fish_v6pod_using_subcommand list" -l socket -d 'The daemon\'s socket [default: $V6POD_SOCKET, or /run/v6pod/v6pod.sock]' -r -F
complete -c v6pod -n "__fish_v6pod_using_subcommand list" -l json -d 'Print JSON'
complete -c v6pod -n "__fish_v6pod_using_subcommand list" -s h -l help -d 'Print help'
complete -c v6pod -n "__fish_v6pod_using_subcommand ls" -l socket -d 'The daemon\'s socket [default: $V6POD_SOCKET, or /run/v6pod/v6pod.sock]' -r -F
complete -c v6pod -n "__fish_v6pod_using_subcommand ls" -l json -d 'Print JSON'
complete -c v6pod -n "__fish_v6pod_using_subcommand ls" -s h -l help -d 'Print help'
complete -c v6pod -n "__fish_v6pod_using_subcommand show" -l socket -d 'The daemon\'s socket [default: $V6POD_SOCKET, or /run/v6pod/v6pod.sock]' -r -F
complete -c v6pod -n "__fish_v6pod_using_subcommand show" -l json -d 'Print JSON'
complete -c v6pod -n "__fish_v6pod_using_subcommand show" -s h -l help -d 'Print help'
complete -c v6pod -n "__fish_v6pod_using_subcommand watch" -l socket -d 'The daemon\'s socket [default: $V6POD_SOCKET, or /run/v6pod/v6pod.sock]' -r -F
complete -c v6pod -n "__fish_v6pod_using_subcommand watch" -l json -d 'Print JSON'
complete -c v6pod -n "__fish_v6pod_using_subcommand watch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c v6pod -n "__fish_v6pod_using_subcommand status" -l socket -d 'The daemon\'s socket [default: $V6POD_SOCKET, or /run/v6pod/v6pod.sock]' -r -F
complete -c v6pod -n "__fish_v6pod_using_subcommand status" -l json -d 'Print JSON'
complete -c v6pod -n "__fish_v6pod_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c v6pod -n "__fish_v6pod_using_subcommand history" -l at -d 'Only who had it at this time' -r
complete -c v6pod -n "__fish_v6pod_using_subcommand history" -l limit -d 'The most entries to show' -r
complete -c v6pod -n "__fish_v6pod_using_subcommand history" -l socket -d 'The daemon\'s socket [default: $V6POD_SOCKET, or /run/v6pod/v6pod.sock]' -r -F
complete -c v6pod -n "__fish_v6pod_using_subcommand history" -l json -d 'Print JSON'
complete -c v6pod -n "__fish_v6pod_using_subcommand history" -s h -l help -d 'Print help'
complete -c v6pod -n "__fish_v6pod_using_subcommand attach" -l network -d 'The network to join [default: the daemon\'s default network]' -r
complete -c v6pod -n "__fish_v6pod_using_subcommand attach" -l name -d 'The name to publish' -r
complete -c v6pod -n "__fish_v6pod_using_subcommand attach" -l container-id -d 'The container\'s id' -r
complete -c v6pod -n "__fish_v6pod_using_subcommand attach" -l interface -d 'The name of the interface inside [default: v6pod0]' -r
complete -c v6pod -n "__fish_v6pod_using_subcommand attach" -l address -d 'A fixed address inside the network\'s prefix' -r
complete -c v6pod -n "__fish_v6pod_using_subcommand attach" -l mac -d 'A fixed MAC address, and with it the address, where the network allows fixed ones' -r
complete -c v6pod -n "__fish_v6pod_using_subcommand attach" -l mtu -d 'The MTU in octets, at most the network\'s' -r
complete -c v6pod -n "__fish_v6pod_using_subcommand attach" -l alias -d 'A further name in the built-in DNS; may be given more than once' -r
complete -c v6pod -n "__fish_v6pod_using_subcommand attach" -l tag -d 'A tag for Consul; may be given more than once' -r
complete -c v6pod -n "__fish_v6pod_using_subcommand attach" -l inbound -d 'What may reach it: open, established, or ports such as 80/tcp,5000-5010/udp [default: open]' -r
complete -c v6pod -n "__fish_v6pod_using_subcommand attach" -l socket -d 'The daemon\'s socket [default: $V6POD_SOCKET, or /run/v6pod/v6pod.sock]' -r -F
complete -c v6pod -n "__fish_v6pod_using_subcommand attach" -l no-default-route -d 'Do not install a default route'
complete -c v6pod -n "__fish_v6pod_using_subcommand attach" -l json -d 'Print JSON'
complete -c v6pod -n "__fish_v6pod_using_subcommand attach" -s h -l help -d 'Print help'
complete -c v6pod -n "__fish_v6pod_using_subcommand detach" -l socket -d 'The daemon\'s socket [default: $V6POD_SOCKET, or /run/v6pod/v6pod.sock]' -r -F
complete -c v6pod -n "__fish_v6pod_using_subcommand detach" -l json -d 'Print JSON'
complete -c v6pod -n "__fish_v6pod_using_subcommand detach" -s h -l help -d 'Print help'
complete -c v6pod -n "__fish_v6pod_using_subcommand expose" -l socket -d 'The daemon\'s socket [default: $V6POD_SOCKET, or /run/v6pod/v6pod.sock]' -r -F
complete -c v6pod -n "__fish_v6pod_using_subcommand expose" -l established -d 'Nothing: only what belongs to what the container began gets through'
complete -c v6pod -n "__fish_v6pod_using_subcommand expose" -l all -d 'Everything'
complete -c v6pod -n "__fish_v6pod_using_subcommand expose" -l json -d 'Print JSON'
complete -c v6pod -n "__fish_v6pod_using_subcommand expose" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c v6pod -n "__fish_v6pod_using_subcommand close" -l socket -d 'The daemon\'s socket [default: $V6POD_SOCKET, or /run/v6pod/v6pod.sock]' -r -F
complete -c v6pod -n "__fish_v6pod_using_subcommand close" -l json -d 'Print JSON'
complete -c v6pod -n "__fish_v6pod_using_subcommand close" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c v6pod -n "__fish_v6pod_using_subcommand check" -l socket -d 'The daemon\'s socket [default: $V6POD_SOCKET, or /run/v6pod/v6pod.sock]' -r -F
complete -c v6pod -n "__fish_v6pod_using_subcommand check" -l json -d 'Print JSON'
complete -c v6pod -n "__fish_v6pod_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c v6pod -n "__fish_v6pod_using_subcommand can-i" -l network -d 'The network to join [default: the daemon\'s default network]' -r
complete -c v6pod -n "__fish_v6pod_using_subcommand can-i" -l name -d 'The name to publish' -r
complete -c v6pod -n "__fish_v6pod_using_subcommand can-i" -l address -d 'A fixed address inside the network\'s prefix' -r
complete -c v6pod -n "__fish_v6pod_using_subcommand can-i" -l user -d 'Whether this user may (for administrators), by name or uid' -r
complete -c v6pod -n "__fish_v6pod_using_subcommand can-i" -l socket -d 'The daemon\'s socket [default: $V6POD_SOCKET, or /run/v6pod/v6pod.sock]' -r -F
complete -c v6pod -n "__fish_v6pod_using_subcommand can-i" -l json -d 'Print JSON'
complete -c v6pod -n "__fish_v6pod_using_subcommand can-i" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c v6pod -n "__fish_v6pod_using_subcommand setup" -l user -d 'Set it up for this user (root may name anyone)' -r
complete -c v6pod -n "__fish_v6pod_using_subcommand setup" -l socket -d 'The daemon\'s socket [default: $V6POD_SOCKET, or /run/v6pod/v6pod.sock]' -r -F
complete -c v6pod -n "__fish_v6pod_using_subcommand setup" -l undo -d 'Remove what setup wrote, and nothing else'
complete -c v6pod -n "__fish_v6pod_using_subcommand setup" -l dry-run -d 'Say what would be written or removed, and do nothing'
complete -c v6pod -n "__fish_v6pod_using_subcommand setup" -l json -d 'Print JSON'
complete -c v6pod -n "__fish_v6pod_using_subcommand setup" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c v6pod -n "__fish_v6pod_using_subcommand cleanup" -l config -d 'The daemon\'s configuration, which tells of its files, its bridges and Consul' -r -F
complete -c v6pod -n "__fish_v6pod_using_subcommand cleanup" -l socket -d 'The daemon\'s socket [default: $V6POD_SOCKET, or /run/v6pod/v6pod.sock]' -r -F
complete -c v6pod -n "__fish_v6pod_using_subcommand cleanup" -l all -d 'Everything; there is no cleaning up by halves'
complete -c v6pod -n "__fish_v6pod_using_subcommand cleanup" -l purge -d 'Also remove the audit: who had which address when'
complete -c v6pod -n "__fish_v6pod_using_subcommand cleanup" -l dry-run -d 'Say what would be removed or put back, and do nothing'
complete -c v6pod -n "__fish_v6pod_using_subcommand cleanup" -l json -d 'Print JSON'
complete -c v6pod -n "__fish_v6pod_using_subcommand cleanup" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c v6pod -n "__fish_v6pod_using_subcommand help; and not __fish_seen_subcommand_from list show watch status history attach detach expose close check can-i setup cleanup help" -f -a "list" -d 'List your attachments (as an administrator: everyone\'s)'
complete -c v6pod -n "__fish_v6pod_using_subcommand help; and not __fish_seen_subcommand_from list show watch status history attach detach expose close check can-i setup cleanup help" -f -a "show" -d 'Show everything about one attachment'
complete -c v6pod -n "__fish_v6pod_using_subcommand help; and not __fish_seen_subcommand_from list show watch status history attach detach expose close check can-i setup cleanup help" -f -a "watch" -d 'Print the attachments there are, then every change as it happens'
complete -c v6pod -n "__fish_v6pod_using_subcommand help; and not __fish_seen_subcommand_from list show watch status history attach detach expose close check can-i setup cleanup help" -f -a "status" -d 'Show the daemon, its networks and its registries'
complete -c v6pod -n "__fish_v6pod_using_subcommand help; and not __fish_seen_subcommand_from list show watch status history attach detach expose close check can-i setup cleanup help" -f -a "history" -d 'Show who had which address when (as an administrator: everyone\'s)'
complete -c v6pod -n "__fish_v6pod_using_subcommand help; and not __fish_seen_subcommand_from list show watch status history attach detach expose close check can-i setup cleanup help" -f -a "attach" -d 'Attach a network namespace'
complete -c v6pod -n "__fish_v6pod_using_subcommand help; and not __fish_seen_subcommand_from list show watch status history attach detach expose close check can-i setup cleanup help" -f -a "detach" -d 'End an attachment'
complete -c v6pod -n "__fish_v6pod_using_subcommand help; and not __fish_seen_subcommand_from list show watch status history attach detach expose close check can-i setup cleanup help" -f -a "expose" -d 'Open these ports besides those opened before; the first expose closes all others'
complete -c v6pod -n "__fish_v6pod_using_subcommand help; and not __fish_seen_subcommand_from list show watch status history attach detach expose close check can-i setup cleanup help" -f -a "close" -d 'Close ports of an attachment, or all of it'
complete -c v6pod -n "__fish_v6pod_using_subcommand help; and not __fish_seen_subcommand_from list show watch status history attach detach expose close check can-i setup cleanup help" -f -a "check" -d 'Compare an attachment with the kernel and the registries'
complete -c v6pod -n "__fish_v6pod_using_subcommand help; and not __fish_seen_subcommand_from list show watch status history attach detach expose close check can-i setup cleanup help" -f -a "can-i" -d 'Tell whether you may attach, which rule says so, and what is left of your quota'
complete -c v6pod -n "__fish_v6pod_using_subcommand help; and not __fish_seen_subcommand_from list show watch status history attach detach expose close check can-i setup cleanup help" -f -a "setup" -d 'Write the few lines of configuration that an engine needs to use v6pod'
complete -c v6pod -n "__fish_v6pod_using_subcommand help; and not __fish_seen_subcommand_from list show watch status history attach detach expose close check can-i setup cleanup help" -f -a "cleanup" -d 'Put this host back as it was before v6podd was first started (for root)'
complete -c v6pod -n "__fish_v6pod_using_subcommand help; and not __fish_seen_subcommand_from list show watch status history attach detach expose close check can-i setup cleanup help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c v6pod -n "__fish_v6pod_using_subcommand setup" -f -a "podman hook docker"
