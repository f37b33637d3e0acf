//! Generates the `impl MapData` of a struct.

use proc_macro_crate::{FoundCrate, crate_name};
use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Fields, FieldsNamed, Generics, Ident, Result, Type};

/// The path to `kamap_bpf` in the crate that is compiled, even if its `Cargo.toml` renames it: a direct
/// dependency, or the re-export of `kamap`.
pub(crate) fn maps_crate() -> TokenStream {
    let ident = |name: &str| Ident::new(name, Span::call_site());
    match (crate_name("kamap-bpf"), crate_name("kamap")) {
        (Ok(FoundCrate::Name(name)), _) => {
            let name = ident(&name);
            quote! { ::#name }
        }
        (Err(_), Ok(FoundCrate::Name(name))) => {
            let name = ident(&name);
            quote! { ::#name::maps }
        }
        // `kamap_bpf` itself with its examples and tests, or a build without Cargo.
        _ => quote! { ::kamap_bpf },
    }
}

pub(crate) fn expand(input: &DeriveInput, maps: &TokenStream) -> Result<TokenStream> {
    let fields = match &input.data {
        Data::Struct(data) => &data.fields,
        Data::Enum(data) => {
            return Err(Error::new(
                data.enum_token.span,
                "an enum cannot be `MapData`: a map can hold bytes that are not a variant of it; \
                 use an integer, or a `#[repr(transparent)]` struct with constants",
            ));
        }
        Data::Union(data) => {
            return Err(Error::new(
                data.union_token.span,
                "a union cannot be `MapData`: it is unknown which of its bytes are padding; \
                 use an array of bytes",
            ));
        }
    };
    if fields.is_empty() {
        return Err(Error::new(
            input.ident.span(),
            "`MapData` needs at least one field",
        ));
    }
    let layout = match (representation(input)?, fields) {
        (Some(Representation::C), Fields::Named(fields)) => structure(input, fields, maps),
        (Some(Representation::C), _) => {
            return Err(Error::new(
                fields.span(),
                "`MapData` needs named fields: they are compared with the map's BTF by name",
            ));
        }
        (Some(Representation::Transparent), fields) => wrapped(fields, maps)?,
        (None, _) => {
            return Err(Error::new(
                input.ident.span(),
                "`MapData` needs a defined layout: add `#[repr(C)]`, or `#[repr(transparent)]` to \
                 a struct of one field",
            ));
        }
    };

    let name = &input.ident;
    let generics = bounded(&input.generics, fields.iter().map(|field| &field.ty), maps);
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    Ok(quote! {
        // SAFETY: all fields are `MapData`, so any bytes are valid. `repr` defines the
        // layout, and its sizes and offsets come from the compiler.
        #[automatically_derived]
        unsafe impl #impl_generics #maps::MapData for #name #type_generics #where_clause {
            const LAYOUT: &'static #maps::Layout = #layout;
        }
    })
}

#[derive(Clone, Copy)]
enum Representation {
    C,
    Transparent,
}

fn representation(input: &DeriveInput) -> Result<Option<Representation>> {
    let mut found = None;
    for attribute in input
        .attrs
        .iter()
        .filter(|attr| attr.path().is_ident("repr"))
    {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("C") {
                found = Some(Representation::C);
            } else if meta.path.is_ident("transparent") {
                found = Some(Representation::Transparent);
            } else if meta.input.peek(syn::token::Paren) {
                // `align(8)`, `packed(2)`: the offsets come from the compiler.
                let number;
                syn::parenthesized!(number in meta.input);
                number.parse::<TokenStream>()?;
            }
            Ok(())
        })?;
    }
    Ok(found)
}

fn structure(input: &DeriveInput, fields: &FieldsNamed, maps: &TokenStream) -> TokenStream {
    let name = input.ident.unraw().to_string();
    let fields = fields.named.iter().filter_map(|field| {
        let ident = field.ident.as_ref()?;
        let name = ident.unraw().to_string();
        let ty = &field.ty;
        Some(quote! {
            #maps::Field {
                name: #name,
                offset: ::core::mem::offset_of!(Self, #ident),
                layout: <#ty as #maps::MapData>::LAYOUT,
            }
        })
    });
    quote! {
        &#maps::Layout {
            name: #name,
            size: ::core::mem::size_of::<Self>(),
            shape: #maps::Shape::Struct { fields: &[#(#fields),*] },
        }
    }
}

fn wrapped(fields: &Fields, maps: &TokenStream) -> Result<TokenStream> {
    let mut types = fields.iter().map(|field| &field.ty);
    match (types.next(), types.next()) {
        (Some(ty), None) => Ok(quote! { <#ty as #maps::MapData>::LAYOUT }),
        _ => Err(Error::new(
            fields.span(),
            "a `#[repr(transparent)]` struct can only be `MapData` if it has one field",
        )),
    }
}

/// Adds a bound for each field to a generic struct. In other structs, the compiler reports a field that
/// is not `MapData` where it is declared.
fn bounded<'a>(
    generics: &Generics,
    fields: impl Iterator<Item = &'a Type>,
    maps: &TokenStream,
) -> Generics {
    let mut generics = generics.clone();
    if !generics.params.is_empty() {
        let clause = generics.make_where_clause();
        for ty in fields {
            clause
                .predicates
                .push(syn::parse_quote! { #ty: #maps::MapData });
        }
    }
    generics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refusal(source: &str) -> String {
        let input = syn::parse_str(source).expect("it is a type");
        expand(&input, &quote! { ::maps })
            .expect_err("it is refused")
            .to_string()
    }

    #[test]
    fn what_cannot_be_data_is_refused_with_the_way_out() {
        for (source, told) in [
            ("#[repr(C)] enum E { A }", "use an integer"),
            ("#[repr(C)] union U { a: u32 }", "use an array of bytes"),
            ("struct S { a: u32 }", "add `#[repr(C)]`"),
            ("#[repr(align(8))] struct S { a: u32 }", "add `#[repr(C)]`"),
            ("#[repr(C)] struct S(u32);", "named fields"),
            ("#[repr(C)] struct S;", "at least one field"),
            ("#[repr(C)] struct S {}", "at least one field"),
            (
                "#[repr(transparent)] struct S(u32, ());",
                "if it has one field",
            ),
        ] {
            let error = refusal(source);
            assert!(error.contains(told), "{source}: {error}");
        }
    }

    #[test]
    fn a_layout_names_the_fields_as_btf_does() {
        let input = "#[repr(C, align(8))] struct S { r#type: u32 }";
        let expanded = expand(
            &syn::parse_str(input).expect("it is a type"),
            &quote! { ::maps },
        );
        let expanded = expanded.expect("it is data").to_string();
        assert!(expanded.contains("name : \"type\""), "{expanded}");
        assert!(
            expanded.contains("offset_of ! (Self , r#type)"),
            "{expanded}"
        );
    }
}
