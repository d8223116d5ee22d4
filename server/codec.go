package server

import (
	"errors"
	"fmt"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// codec is the standard protobuf encoding with limits of its own, so that a message which is too large ends in the pipeline, with an audit event,
// and not in the transport. What does not come from the pipeline has at most so many bytes.
type codec struct{ most int }

var errTooLarge = errors.New("the message is too large")

// Name is what gRPC calls the encoding.
func (codec) Name() string { return "proto" }

// Marshal encodes a message.
func (codec) Marshal(v any) (mem.BufferSlice, error) {
	m, ok := v.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("encoding %T: it is no message", v)
	}
	b, err := proto.Marshal(m)
	if err != nil {
		return nil, err
	}
	return mem.BufferSlice{mem.SliceBuffer(b)}, nil
}

// received is a request on its way through the codec. What is wrong with it is kept in it for the pipeline: an error of Unmarshal gRPC
// answers by itself, at once, and the call's event would come after its answer.
type received struct {
	message proto.Message
	most    int // bytes
	err     error
}

// Unmarshal decodes a message.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	switch v := v.(type) {
	case *received:
		v.err = unmarshal(data, v.message, v.most)
		return nil
	case proto.Message:
		return unmarshal(data, v, c.most)
	}
	return fmt.Errorf("decoding %T: it is no message", v)
}

func unmarshal(data mem.BufferSlice, m proto.Message, most int) error {
	if data.Len() > most {
		return errTooLarge
	}
	b := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer b.Free()
	return proto.Unmarshal(b.ReadOnlyData(), m)
}
