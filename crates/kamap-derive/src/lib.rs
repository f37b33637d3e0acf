//! The derive macro of `kamap_bpf::MapData`. Use it from there.

mod expand;

use proc_macro::TokenStream;

/// Implements `MapData` for a struct, so that it can be a map's key or value.
///
/// The struct needs `#[repr(C)]` and named fields, which are compared with the map's BTF, or
/// `#[repr(transparent)]`, and then has the layout of its field. Each field must be `MapData`.
/// Padding is allowed: it is never read, and the kernel always gets zeros instead.
///
/// ```ignore
/// #[derive(Clone, Copy, MapData)]
/// #[repr(C)]
/// struct Flow {
///     port: u16,
///     address: u32,
/// }
/// ```
#[proc_macro_derive(MapData)]
pub fn map_data(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    expand::expand(&input, &expand::maps_crate())
        .unwrap_or_else(|err| err.to_compile_error())
        .into()
}
