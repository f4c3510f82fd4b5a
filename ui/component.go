package ui

import (
	"fmt"
	"html/template"
	"slices"
	"strings"
)

// components are the parts with more structure than a class gives.
var components = template.Must(template.New("").Funcs(template.FuncMap{"ago": Ago, "icon": Icon}).Parse(`
{{define "copy"}}<button type="button" class="copy" data-copy="{{.}}" title="Copy"><span class="before">{{icon "copy"}}</span><span class="after">{{icon "check"}}</span><span class="hidden">Copy</span></button>{{end}}
{{define "value"}}<span class="value"><code>{{.}}</code>{{template "copy" .}}</span>{{end}}
{{define "command"}}<div class="command"><code>{{.}}</code>{{template "copy" .}}</div>{{end}}
{{define "state"}}<span class="state {{.Class}}"><i></i>{{.Text}}</span>{{end}}
{{define "timeline"}}<ol class="timeline">{{range .}}<li class="{{.Class}}"{{if eq .Class "now"}} aria-current="step"{{end}}><b>{{.Title}}</b>
{{- if not .Time.IsZero}} <small>{{if .Until}}Expires {{end}}{{ago .Time}}</small>{{end}}{{with .Note}} <small>{{.}}</small>{{end}}</li>{{end}}</ol>{{end}}
{{define "field"}}<div class="field{{if .Error}} wrong{{end}}">
{{- if .Options}}{{if .Radio}}<fieldset><legend>{{.Label}}</legend>{{range .Options}}<label class="choice"><input type="radio" name="{{$.Name}}" value="{{.Value}}"{{if eq .Value $.Value}} checked{{end}}><span><b>{{.Title}}</b>{{with .Hint}}<small>{{.}}</small>{{end}}</span></label>{{end}}</fieldset>
{{- else}}<label for="f-{{.Name}}">{{.Label}}</label><select id="f-{{.Name}}" name="{{.Name}}">{{range .Options}}<option value="{{.Value}}"{{if eq .Value $.Value}} selected{{end}}>{{.Title}}</option>{{end}}</select>{{end}}
{{- else}}<label for="f-{{.Name}}">{{.Label}}</label>
{{- if .Rows}}<textarea id="f-{{.Name}}" name="{{.Name}}" rows="{{.Rows}}"{{if .Required}} required{{end}}{{with .MaxLength}} maxlength="{{.}}"{{end}} spellcheck="false" autocapitalize="off"{{if .Note}} aria-describedby="n-{{.Name}}"{{end}}{{if .Error}} aria-invalid="true"{{end}}>{{.Value}}</textarea>
{{- else}}<input id="f-{{.Name}}" name="{{.Name}}" type="{{or .Type "text"}}" value="{{.Value}}"{{if .Required}} required{{end}}{{with .MaxLength}} maxlength="{{.}}"{{end}}{{with .Min}} min="{{.}}"{{end}}{{with .Max}} max="{{.}}"{{end}}{{with .Autocomplete}} autocomplete="{{.}}"{{end}} spellcheck="false" autocapitalize="off"{{if .Note}} aria-describedby="n-{{.Name}}"{{end}}{{if .Error}} aria-invalid="true"{{end}}>{{end}}{{end}}
{{- with .Note}}<small id="n-{{$.Name}}">{{.}}</small>{{end}}</div>{{end}}`))

func component(name string, data any) template.HTML {
	var b strings.Builder
	if err := components.ExecuteTemplate(&b, name, data); err != nil {
		return template.HTML(template.HTMLEscapeString(err.Error()))
	}
	return template.HTML(b.String())
}

// Copy draws a button that copies text. It is absent without JavaScript.
func Copy(text string) template.HTML { return component("copy", text) }

// Value draws a short value with a button that copies it.
func Value(text string) template.HTML { return component("value", text) }

// Command draws a line to type into a terminal, its words joined by spaces,
// with a button that copies it.
func Command(words ...string) template.HTML {
	return component("command", strings.Join(words, " "))
}

// State draws a dot and the words that say the same. The kinds are online,
// offline, revoked, good, notice and problem.
func State(kind, text string) template.HTML {
	return component("state", struct{ Class, Text string }{kind, text})
}

// A Field is an input of a form with its label. Value is what was typed, so
// that a refused form loses nothing; Error says why it was refused.
type Field struct {
	Name, Label  string
	Type         string // "text" if empty
	Value        string
	Hint         string // below the input
	Error        string // below the input, in place of Hint
	Required     bool
	MaxLength    int
	Min, Max     string // of numbers
	Autocomplete string
	Rows         int      // more than one: a text area
	Options      []Option // a choice among these
	Radio        bool     // all options in sight, instead of a menu
}

// An Option is one choice of a [Field].
type Option struct{ Value, Title, Hint string }

// Note is the error or the hint.
func (f Field) Note() string {
	if f.Error != "" {
		return f.Error
	}
	return f.Hint
}

// Offers reports whether Value is one of the options.
func (f Field) Offers() bool {
	return slices.ContainsFunc(f.Options, func(o Option) bool { return o.Value == f.Value })
}

// HTML draws the field.
func (f Field) HTML() (template.HTML, error) {
	if f.Name == "" || f.Label == "" {
		return "", fmt.Errorf("field %q needs a name and a label", f.Name+f.Label)
	}
	return component("field", f), nil
}

// Bitmap draws a square of size modules, such as a QR code, dark on light in
// every theme, with the quiet zone of four modules that readers want.
func Bitmap(size int, black func(x, y int) bool, label string) template.HTML {
	var d strings.Builder
	for y := range size {
		for x := 0; x < size; x++ {
			if !black(x, y) {
				continue
			}
			start := x
			for x < size && black(x, y) {
				x++
			}
			fmt.Fprintf(&d, "M%d %dh%dv1h-%dz", start, y, x-start, x-start)
		}
	}
	return template.HTML(fmt.Sprintf(`<svg class="bitmap" viewBox="-4 -4 %d %d" shape-rendering="crispEdges" role="img" aria-label="%s">`+
		`<rect x="-4" y="-4" width="100%%" height="100%%"/><path d="%s"/></svg>`,
		size+8, size+8, template.HTMLEscapeString(label), d.String()))
}
