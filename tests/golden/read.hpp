#pragma once

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/nn/numbers.hpp"

/// The tensors of a file of this folder, by name: "lstm/weight/grad". The scripts beside it say how it was made.
class Golden {
public:
    explicit Golden(const std::string& name) : path_(std::filesystem::path(__FILE__).parent_path() / name) {
        std::ifstream file(path_);
        if (!file) throw std::runtime_error("can't open " + path_.string());
        std::string line;
        while (std::getline(file, line)) {
            std::istringstream in(line);
            std::string tensor_name;
            std::size_t rank = 0;
            in >> tensor_name >> rank;
            std::vector<std::size_t> shape(rank);
            for (std::size_t& extent : shape) in >> extent;
            xt::xarray<double> tensor = xt::zeros<double>(shape);
            for (double& element : tensor) in >> element;
            if (!in) throw std::runtime_error("a broken line in " + path_.string() + ": " + tensor_name);
            tensors_.emplace(tensor_name, tensor);
        }
    }

    const xt::xarray<double>& operator()(const std::string& name) const {
        const auto found = tensors_.find(name);
        if (found == tensors_.end()) throw std::runtime_error("no golden value called " + name);
        return found->second;
    }

private:
    std::filesystem::path path_;
    std::map<std::string, xt::xarray<double>> tensors_;
};
