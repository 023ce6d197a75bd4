// Command dns is CoreDNS with what the DNS server of a cluster needs. It is a program of its own, since its flags are those of
// whatever program it is part of.
package main

import (
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/kubernetes"
)

func main() {
	coremain.Run()
}
