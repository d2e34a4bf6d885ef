//! Finds the state dict in what a PyTorch pickle describes, and the tensors in the state dict.
//!
//! A handful of PyTorch's own functions are understood by name, for what they would have made; everything else that a
//! checkpoint drags along (optimizers, `argparse.Namespace`, NumPy scalars) is passed over as long as it holds no weight.

use std::collections::{HashMap, HashSet};
use std::fmt;

use super::arrays::{self, Array, ArrayPlace};
use super::pickle::{Graph, Id, Node};
use crate::resnet::import::error::Reason;
use crate::resnet::import::raw_file::Part;
use crate::resnet::import::values::Dtype;

/// Where training scripts put the state dict, in the order in which they are looked for.
const STATE_DICT_KEYS: [&str; 9] =
    ["state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "blobs", "state_dict_ema"];

/// How deeply checkpoints may be nested; `{"model": {"state_dict": …}}` is the deepest that is known.
const MAX_DEPTH: usize = 3;

/// PyTorch's own limit of dimensions.
const MAX_RANK: usize = 64;

/// Where a storage is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Home {
    /// Outside the pickle, under this key.
    Storage(String),
    /// In the pickle itself.
    Inside(ArrayPlace),
}

/// A strided view of a storage. Everything is in values, not in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TensorView {
    pub(super) home: Home,
    pub(super) dtype: StorageType,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

impl TensorView {
    /// Whether the view is simply all `length` values of its storage, in row-major order.
    pub(super) fn is_whole(&self, length: usize) -> bool {
        let mut stride = 1usize;
        let mut is_contiguous = self.shape.len() == self.strides.len();
        for (&size, &actual) in self.shape.iter().zip(&self.strides).rev() {
            is_contiguous &= size == 1 || actual == stride;
            stride = stride.saturating_mul(size);
        }
        self.offset == 0 && is_contiguous && stride == length
    }
}

/// The tensors of a state dict by their names.
pub(super) type NamedViews = Vec<(String, TensorView)>;

/// The type of the values of a storage, by PyTorch's name for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StorageType(String);

impl StorageType {
    /// From `torch.FloatStorage` or `torch.float32`.
    fn of_global(global: &str) -> Option<Self> {
        Some(Self(global.strip_prefix("torch.")?.to_owned()))
    }

    /// The floating-point type, if it is one that weights come in.
    pub(super) fn float(&self) -> Option<Dtype> {
        match self.0.as_str() {
            "HalfStorage" | "float16" | "f2" => Some(Dtype::F16),
            "BFloat16Storage" | "bfloat16" => Some(Dtype::Bf16),
            "FloatStorage" | "float32" | "f4" => Some(Dtype::F32),
            "DoubleStorage" | "float64" | "f8" => Some(Dtype::F64),
            _ => None,
        }
    }

    /// Bytes of a value.
    pub(super) fn bytes(&self) -> Option<u64> {
        match self.0.strip_suffix("Storage")? {
            "ComplexDouble" => Some(16),
            "Double" | "Long" | "ComplexFloat" => Some(8),
            "Float" | "Int" | "QInt32" => Some(4),
            "Half" | "BFloat16" | "Short" => Some(2),
            "Byte" | "Char" | "Bool" | "QInt8" | "QUInt8" => Some(1),
            _ => None,
        }
    }
}

impl fmt::Display for StorageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.strip_suffix("Storage").unwrap_or(&self.0))
    }
}

/// The tensors of the state dict that the pickle holds, by name, and where it was found.
///
/// * `key`: the one that is wanted, where there are several
pub(super) fn state_dict(graph: &Graph<'_>, key: Option<&str>) -> Result<(NamedViews, Option<Part>), Reason> {
    let chosen = key.and_then(|wanted| value_of(dict(graph, graph.root)?, graph, wanted));
    let mut search = Search { graph, seen: HashSet::new() };
    let Some(mut found) = search.find(chosen.unwrap_or(graph.root), 0)? else {
        refuse_callables(graph, dict(graph, graph.root).unwrap_or_default())?;
        return Err(Reason::NoStateDict { found: described(graph, graph.root) });
    };
    refuse_callables(graph, found.items)?;
    if chosen.is_some() {
        found.path.splice(..0, key);
    }
    // Entries without a tensor are no weights: `_extra_state`, an epoch.
    let named = |&(key, value)| Some((graph.text(key)?.to_owned(), tensor(graph, value)?));
    let part = (!found.path.is_empty()).then(|| {
        let beside = dict(graph, graph.root).unwrap_or_default().iter();
        let beside = beside.filter_map(|&(key, value)| Some((graph.text(key)?, value)));
        // A state of an optimizer has its tensors deeper, or under numbers.
        let others = beside.filter(|&(key, value)| key != found.path[0] && is_state_dict(graph, value));
        Part { key: found.path.join("."), beside: others.map(|(key, _)| key.to_owned()).collect() }
    });
    Ok((found.items.iter().filter_map(named).collect(), part))
}

/// The storages that the pickle refers to, by their keys.
pub(super) fn storages(graph: &Graph<'_>) -> HashMap<String, StorageType> {
    let storage = |node: &Node| {
        let Node::Persistent(key) = node else { return None };
        let &[_, kind, key, ..] = graph.tuple(*key)? else { return None };
        Some((graph.text(key)?.to_owned(), StorageType::of_global(graph.global(kind)?)?))
    };
    graph.nodes().iter().filter_map(storage).collect()
}

/// The value of a key. Of several items with one key the last one counts, as in Python.
fn value_of(items: &[(Id, Id)], graph: &Graph<'_>, wanted: &str) -> Option<Id> {
    items.iter().rev().find(|&&(key, _)| graph.text(key) == Some(wanted)).map(|&(_, value)| value)
}

fn has_tensors(graph: &Graph<'_>, items: &[(Id, Id)]) -> bool {
    items.iter().any(|&(_, value)| tensor(graph, value).is_some())
}

/// Whether `id` is a state dict, or a dict of which one is a value.
fn is_state_dict(graph: &Graph<'_>, id: Id) -> bool {
    let named =
        |items: &[(Id, Id)]| has_tensors(graph, items) && items.iter().any(|&(key, _)| graph.text(key).is_some());
    let inner = |items: &[(Id, Id)]| items.iter().any(|&(_, value)| dict(graph, value).is_some_and(named));
    dict(graph, id).is_some_and(|items| named(items) || inner(items))
}

/// An unknown callable with weights among its arguments is an error; one without weights is ignored.
fn refuse_callables(graph: &Graph<'_>, items: &[(Id, Id)]) -> Result<(), Reason> {
    let mut seen = HashSet::new();
    for &(key, value) in items {
        if let Some(name) = graph.text(key)
            && let Some(global) = holder(graph, value, &mut seen)
        {
            return Err(Reason::Callable { name: name.to_owned(), global });
        }
    }
    Ok(())
}

/// A state dict, and the keys that led to it.
struct Found<'g> {
    items: &'g [(Id, Id)],
    path: Vec<&'g str>,
}

struct Search<'g, 'a> {
    graph: &'g Graph<'a>,
    /// What was looked at before: a dict can hold itself under every key.
    seen: HashSet<Id>,
}

impl<'g> Search<'g, '_> {
    /// The state dict at or below `id`.
    fn find(&mut self, id: Id, depth: usize) -> Result<Option<Found<'g>>, Reason> {
        let graph = self.graph;
        if !self.seen.insert(id) {
            return Ok(None);
        }
        if let Some(class) = module_class(graph, id) {
            return Err(Reason::WholeModule { class });
        }
        let Some(items) = dict(graph, id).filter(|_| depth <= MAX_DEPTH) else { return Ok(None) };
        for wanted in STATE_DICT_KEYS {
            if let Some(value) = value_of(items, graph, wanted)
                && let Some(mut found) = self.find(value, depth + 1)?
            {
                found.path.insert(0, wanted);
                return Ok(Some(found));
            }
        }
        if has_tensors(graph, items) {
            return Ok(Some(Found { items, path: Vec::new() }));
        }
        // The script may have chosen a key of its own: taken if only one value is a state dict.
        let own =
            |&(key, value)| Some((graph.text(key)?, dict(graph, value).filter(|items| has_tensors(graph, items))?));
        let found: Vec<(&str, &[(Id, Id)])> = items.iter().filter_map(own).collect();
        match found[..] {
            [] => Ok(None),
            [(key, items)] => Ok(Some(Found { items, path: vec![key] })),
            _ => {
                let places: Vec<String> = found.iter().map(|(name, _)| format!("\"{name}\"")).collect();
                Err(Reason::Ambiguous { count: found.len(), places: places.join(", ") })
            }
        }
    }
}

/// The items of a `dict` or of an `OrderedDict` (and its relatives in the standard library).
fn dict<'g>(graph: &'g Graph<'_>, id: Id) -> Option<&'g [(Id, Id)]> {
    match graph.node(id) {
        Node::Dict(items) => Some(items),
        Node::Call { callable, items, .. } => {
            let global = graph.global(*callable)?;
            matches!(global, "collections.OrderedDict" | "collections.defaultdict").then_some(items)
        }
        _ => None,
    }
}

/// The class of a pickled `torch.nn.Module`: an object with `_modules` in its state.
fn module_class(graph: &Graph<'_>, id: Id) -> Option<String> {
    let Node::Call { callable, args, state: Some(state), .. } = graph.node(id) else { return None };
    let Node::Dict(state) = graph.node(*state) else { return None };
    if !state.iter().any(|&(key, _)| graph.text(key) == Some("_modules")) {
        return None;
    }
    // Protocol 2 calls the class itself; `copyreg.__reduce_ex__` of older ones has it as the first argument.
    let class = graph.tuple(*args).and_then(|args| args.iter().find_map(|&arg| graph.global(arg)));
    class.or_else(|| graph.global(*callable)).map(str::to_owned)
}

/// The tensor that the call at `id` would make.
fn tensor(graph: &Graph<'_>, id: Id) -> Option<TensorView> {
    let Node::Call { callable, args, .. } = graph.node(id) else { return None };
    let of_torch = || rebuilt(graph, graph.global(*callable)?, graph.tuple(*args)?);
    of_torch().or_else(|| arrays::array(graph, id)?.try_into().ok())
}

impl TryFrom<Array> for TensorView {
    type Error = ();

    /// Refuses a shape whose values cannot be counted.
    fn try_from(array: Array) -> Result<Self, ()> {
        let Array { place, dtype, is_big_endian, shape, is_fortran } = array;
        let mut strides = vec![0; shape.len()];
        let mut stride = 1usize;
        let mut next = |axis: usize| {
            strides[axis] = stride;
            stride = stride.checked_mul(shape[axis].max(1)).ok_or(())?;
            Ok(())
        };
        if is_fortran {
            (0..shape.len()).try_for_each(&mut next)?
        } else {
            (0..shape.len()).rev().try_for_each(next)?
        }
        let dtype = StorageType(if is_big_endian { format!("big-endian {dtype}") } else { dtype });
        Ok(Self { home: Home::Inside(place), dtype, offset: 0, shape, strides })
    }
}

fn rebuilt(graph: &Graph<'_>, function: &str, args: &[Id]) -> Option<TensorView> {
    match function {
        "torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2" => view(graph, args, None),
        "torch._utils._rebuild_tensor_v3" => view(graph, args, Some(*args.get(6)?)),
        // A wrapper around a tensor. Wrappers do not nest, so a file cannot make this recurse deeply.
        "torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state" => {
            let Node::Call { callable, args, .. } = graph.node(*args.first()?) else { return None };
            plain(graph, graph.global(*callable)?, graph.tuple(*args)?)
        }
        "torch._tensor._rebuild_from_type_v2" => {
            plain(graph, graph.global(*args.first()?)?, graph.tuple(*args.get(2)?)?)
        }
        _ => None,
    }
}

fn plain(graph: &Graph<'_>, function: &str, args: &[Id]) -> Option<TensorView> {
    function.starts_with("torch._utils._rebuild_tensor").then(|| rebuilt(graph, function, args))?
}

/// The arguments of `_rebuild_tensor_v2`: storage, offset, size, stride, …; `_v3` names the type by itself.
fn view(graph: &Graph<'_>, args: &[Id], dtype: Option<Id>) -> Option<TensorView> {
    let &[storage, offset, shape, strides, ..] = args else { return None };
    // The tuple is copied for each tensor that refers to it.
    let sizes = |id| {
        let sizes = graph.tuple(id).filter(|sizes| sizes.len() <= MAX_RANK)?;
        sizes.iter().map(|&size| graph.size(size)).collect::<Option<Vec<usize>>>()
    };
    let Node::Persistent(key) = graph.node(storage) else { return None };
    let &[kind, storage_type, key, ..] = graph.tuple(*key)? else { return None };
    if graph.text(kind) != Some("storage") {
        return None;
    }
    Some(TensorView {
        home: Home::Storage(graph.text(key)?.to_owned()),
        dtype: StorageType::of_global(graph.global(dtype.unwrap_or(storage_type))?)?,
        offset: graph.size(offset)?,
        shape: sizes(shape)?,
        strides: sizes(strides)?,
    })
}

/// Looks at and below `id` for a callable that is called with a storage and that [`tensor`] does not understand.
/// Objects in `seen` were looked at before.
fn holder(graph: &Graph<'_>, id: Id, seen: &mut HashSet<Id>) -> Option<String> {
    let mut pending = vec![(id, None)];
    while let Some((id, mut inside)) = pending.pop() {
        match graph.node(id) {
            Node::Persistent(_) => return inside.map(str::to_owned),
            Node::Call { .. } if tensor(graph, id).is_some() => continue,
            Node::Call { callable, .. } if dict(graph, id).is_none() => inside = graph.global(*callable).or(inside),
            _ => {}
        }
        pending.extend(graph.children(id).into_iter().filter(|&child| seen.insert(child)).map(|child| (child, inside)));
    }
    None
}

/// What an object is, for a message.
fn described(graph: &Graph<'_>, id: Id) -> String {
    /// A message names at most so many keys.
    const SHOWN: usize = 8;
    if let Some(items) = dict(graph, id) {
        let mut keys: Vec<String> =
            items.iter().filter_map(|&(key, _)| graph.text(key)).take(SHOWN).map(|key| format!("\"{key}\"")).collect();
        if items.len() > keys.len() {
            keys.push("…".to_owned());
        }
        return if items.is_empty() { "an empty dict".to_owned() } else { format!("the keys {}", keys.join(", ")) };
    }
    match graph.node(id) {
        Node::Call { .. } if tensor(graph, id).is_some() => "a single tensor".to_owned(),
        Node::Call { callable, .. } => format!("an object of `{}`", graph.global(*callable).unwrap_or("unknown")),
        Node::List(_) | Node::Tuple(_) => "a list".to_owned(),
        _ => "a plain value".to_owned(),
    }
}
