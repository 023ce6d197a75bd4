// Writes the definitions that Kubernetes publishes for runtime.v1 to the standard output, as one
// encoded google.protobuf.FileDescriptorSet. A test compares ours with them.
package main

import (
	"fmt"
	"os"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	// Imported because it registers the definitions.
	_ "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	published := &descriptorpb.FileDescriptorSet{}
	protoregistry.GlobalFiles.RangeFilesByPackage("runtime.v1", func(file protoreflect.FileDescriptor) bool {
		published.File = append(published.File, protodesc.ToFileDescriptorProto(file))
		return true
	})
	if len(published.File) == 0 {
		return fmt.Errorf("the package registers no definitions of runtime.v1")
	}
	encoded, err := proto.Marshal(published)
	if err != nil {
		return fmt.Errorf("encode the definitions: %w", err)
	}
	_, err = os.Stdout.Write(encoded)
	return err
}
