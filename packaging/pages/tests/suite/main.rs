//! The pages are held against the program, and against the tools that read them.

mod completions;
mod manual;
mod settings;
mod tools;
