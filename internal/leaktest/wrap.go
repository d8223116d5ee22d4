package leaktest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
)

// wrapped is a value inside of another, as programs hold them.
type wrapped struct {
	name  string
	value any
}

type (
	exported   struct{ Field any }
	unexported struct{ field any }
	outer      struct {
		Name  string
		inner struct{ deep unexported }
	}
	embedding struct{ any }
	failing   struct{ cause any }
	contextID struct{}
)

func (failing) Error() string { return "failing" }

// wrappings returns v bare and in every wrapping. Where the static type matters to a printer, the wrapping is made by
// reflection, so that it holds v's own type and not an interface.
func wrappings(v any) []wrapped {
	var nested outer
	nested.inner.deep.field = v
	list := []wrapped{
		{"bare", v},
		{"in an exported field", exported{v}},
		{"in an unexported field", unexported{v}},
		{"in a pointer to an exported field", &exported{v}},
		{"in a pointer to an unexported field", &unexported{v}},
		{"embedded", embedding{v}},
		{"nested in unexported fields", nested},
		{"nested in a pointer", &nested},
		{"in a slice of interfaces", []any{v}},
		{"in an array in an unexported field", unexported{[1]any{v}}},
		{"in a map of interfaces", map[string]any{"key": v}},
		{"in an error", failing{v}},
		{"in a pointer to an error", &failing{v}},
		{"in a context", context.WithValue(context.Background(), contextID{}, v)},
		{"in the text of an error", fmt.Errorf("doing x: %v", v)},
		{"in the Go syntax of an error", fmt.Errorf("doing x: %#v", v)},
	}
	if err, ok := v.(error); ok {
		list = append(list, wrapped{"in a wrapping error", fmt.Errorf("doing x: %w", err)},
			wrapped{"in joined errors", errors.Join(err, err)})
	}
	rv := reflect.ValueOf(v)
	if !rv.IsValid() {
		return list
	}
	return append(list, typed(rv)...)
}

// typed wraps v in types made of its own.
func typed(v reflect.Value) []wrapped {
	pointer := reflect.New(v.Type())
	pointer.Elem().Set(v)
	slice := reflect.MakeSlice(reflect.SliceOf(v.Type()), 1, 1)
	slice.Index(0).Set(v)
	array := reflect.New(reflect.ArrayOf(1, v.Type())).Elem()
	array.Index(0).Set(v)
	dict := reflect.MakeMap(reflect.MapOf(reflect.TypeFor[string](), v.Type()))
	dict.SetMapIndex(reflect.ValueOf("key"), v)
	field := reflect.New(reflect.StructOf([]reflect.StructField{{Name: "Field", Type: v.Type()}})).Elem()
	field.Field(0).Set(v)
	pointers := reflect.New(pointer.Type())
	pointers.Elem().Set(pointer)

	list := []wrapped{
		{"by pointer", pointer.Interface()},
		{"by pointer to pointer", pointers.Interface()},
		{"by pointer in an unexported field", unexported{pointer.Interface()}},
		{"in a slice", slice.Interface()},
		{"in a slice in an unexported field", unexported{slice.Interface()}},
		{"in an array", array.Interface()},
		{"in a map", dict.Interface()},
		{"in a map in an unexported field", unexported{dict.Interface()}},
		{"in a field of its type", field.Interface()},
		{"in a field of its type in an unexported field", unexported{field.Interface()}},
		{"in a pointer to a field of its type", field.Addr().Interface()},
	}
	if v.Comparable() {
		keys := reflect.MakeMap(reflect.MapOf(v.Type(), reflect.TypeFor[bool]()))
		keys.SetMapIndex(v, reflect.ValueOf(true))
		list = append(list, wrapped{"as the key of a map", keys.Interface()})
	}
	if v.Kind() == reflect.Pointer && !v.IsNil() && v.Elem().CanInterface() {
		list = append(list, wrapped{"dereferenced", v.Elem().Interface()},
			wrapped{"dereferenced in an unexported field", unexported{v.Elem().Interface()}})
	}
	return list
}
