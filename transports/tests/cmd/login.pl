#!/usr/bin/perl
# Windows' cmd as a login shell, as far as its lines go: the programs that it starts are this machine's.
#
#   -c LINE --carets, quotation marks--> the line of the program --CommandLineToArgvW--> argv --> exec
#
# A line with an operator of cmd's own, which none of ours has, ends with 99.
use strict;
use warnings;

my ($place) = $0 =~ m{^(.*)/};
$ENV{PATH} = "$place:$ENV{PATH}";
(my $line = $ARGV[1]) =~ s/^@//;
if ($line eq 'set OS') {
    print "OS=Windows_NT\r\n";
    exit 0;
}

my ($handed, $quoted) = ('', 0);
my @signs = split //, $line;
while (@signs) {
    my $sign = shift @signs;
    if ($sign eq '^' && !$quoted) {
        $handed .= shift(@signs) // '';
        next;
    }
    $quoted = !$quoted if $sign eq '"';
    exit 99 if !$quoted && $sign =~ /[&|<>()]/;
    $handed .= $sign;
}

# Its first word knows no escapes.
my @argv;
push @argv, $1 // $2 if $handed =~ s/^(?:"([^"]*)"|([^ \t]+))//;
my ($word, $begun) = ('', 0);
$quoted = 0;
while ($handed =~ /\G(\\*)(.|$)/gs) {
    my ($slashes, $next) = (length $1, $2);
    if ($next eq '"') {
        $word .= '\\' x int($slashes / 2);
        $slashes % 2 ? ($word .= '"') : ($quoted = !$quoted);
        $begun = 1;
        next;
    }
    $word .= '\\' x $slashes;
    $begun = 1 if $slashes;
    if ($next eq '' || (!$quoted && $next =~ /[ \t]/)) {
        push @argv, $word if $begun;
        ($word, $begun) = ('', 0);
    } else {
        $word .= $next;
        $begun = 1;
    }
}
exec { $argv[0] } @argv or exit 1;
