package clients

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

// step is a call of an operation that has to succeed. The steps of a table are made one after the other, and later ones use what earlier ones made.
type step struct {
	operation string
	call      func(ctx context.Context) error
}

// steps runs a table.
func (s *goSDK) steps(t *testing.T, table []step) {
	t.Helper()
	for _, st := range table {
		if !s.run(t, st.operation, func(t *testing.T) {
			if err := st.call(t.Context()); err != nil {
				t.Error(err)
			}
		}) {
			return // the rest would fail for this
		}
	}
}

// done is the error of a call whose answer says nothing.
func done[T any](_ T, err error) error { return err }

// then looks at the answer of a call that has succeeded.
func then[T any](answer T, err error) func(func(T) error) error {
	return func(look func(T) error) error {
		if err != nil {
			return err
		}
		return look(answer)
	}
}

// tokens walks through a list by its tokens, page by page, and wants more than one page.
func tokens(page func(token *string) (entries int, next *string, err error)) error {
	entries, n := 0, 0
	for token := (*string)(nil); ; {
		more, next, err := page(token)
		if err != nil {
			return err
		}
		entries += more
		if n++; n > 1000 {
			return errors.New("the pages do not end")
		}
		if next == nil {
			break
		}
		token = next
	}
	if n < 2 || entries < 2 {
		return fmt.Errorf("%d entries on %d pages, want 2 or more on 2 or more", entries, n)
	}
	return nil
}
