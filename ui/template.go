package ui

import (
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"reflect"
)

// Templates are parsed page templates that know this package's functions.
// They are safe for concurrent use.
type Templates struct{ set *template.Template }

// Parse reads the templates of files that match patterns; each is named by
// its base name. It panics when they do not parse: they are part of the
// program.
func Parse(files fs.FS, patterns ...string) *Templates {
	return ParseWith(nil, files, patterns...)
}

// ParseWith is [Parse] with more functions for the templates.
func ParseWith(more template.FuncMap, files fs.FS, patterns ...string) *Templates {
	set := template.New("").Funcs(functions()).Funcs(more)
	return &Templates{template.Must(set.ParseFS(files, patterns...))}
}

// Body returns a page body: the template name applied to data.
func (t *Templates) Body(name string, data any) Body {
	return func(w io.Writer) error {
		if err := t.set.ExecuteTemplate(w, name, data); err != nil {
			return fmt.Errorf("draw %s: %w", name, err)
		}
		return nil
	}
}

func functions() template.FuncMap {
	return template.FuncMap{
		"ago":      Ago,
		"asset":    Asset,
		"command":  Command,
		"copy":     Copy,
		"field":    func(f Field) (template.HTML, error) { return f.HTML() },
		"icon":     Icon,
		"millis":   Millis,
		"number":   Number,
		"plural":   Plural,
		"size":     sizeOf,
		"state":    State,
		"timeline": Timeline,
		"value":    Value,
	}
}

// sizeOf is [Size] for templates, which know no type parameters.
func sizeOf(bytes any) (string, error) {
	switch v := reflect.ValueOf(bytes); {
	case v.CanInt():
		return Size(v.Int()), nil
	case v.CanUint():
		return Size(v.Uint()), nil
	}
	return "", fmt.Errorf("size of %T: not a whole number", bytes)
}
